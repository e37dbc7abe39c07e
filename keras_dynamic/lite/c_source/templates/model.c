#include "@NAME@.h"

#include <string.h>

#include "kd_kernels.h"

typedef struct {
@INPUTS@} model_inputs;

@CONSTANTS@

@FUNCTIONS@

void @NAME@_init(@NAME@_settings *settings) {
@DEFAULTS@}

int32_t @NAME@_run(const @NAME@_settings *settings, const @IMAGE_TYPE@ image[@UPPER@_IMAGE_SIZE], @NAME@_arena *arena,
                   @NAME@_outputs *outputs) {
  const model_inputs inputs = {@GIVEN@};
  uint8_t *memory = arena->bytes;
  (void)settings;
  run(&inputs, memory);
@RESULTS@
@CLASS@
}
