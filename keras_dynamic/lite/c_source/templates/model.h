/* A network that decides for each image how much of itself to run. Made by keras_dynamic. */
#ifndef @GUARD@
#define @GUARD@

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define @UPPER@_IMAGE_SIZE @IMAGE_BYTES@ /* @IMAGE_SHAPE@: height, width, channels */
#define @UPPER@_IMAGE_SCALE @IMAGE_SCALE@f
#define @UPPER@_IMAGE_ZERO @IMAGE_ZERO@ /* an input value v stands for scale * (v - zero) */
#define @UPPER@_LOGITS_COUNT @LOGITS_COUNT@
#define @UPPER@_ARENA_BYTES @ARENA_BYTES@
#define @UPPER@_MACS_UNIT @MACS_UNIT@ /* what one of `macs` and of `budget` stands for */

/* Settings and outputs of int8 stand for numbers likewise. */
@PORTS@
@NAMES@

/* Memory for one image; it need not be kept. */
typedef union {
  int32_t aligned;
  uint8_t bytes[@UPPER@_ARENA_BYTES];
} @NAME@_arena;

/* What may be changed between images. */
typedef struct {
@SETTINGS@} @NAME@_settings;

typedef struct {
@OUTPUTS@
} @NAME@_outputs;

/* The settings that the network was exported with. */
void @NAME@_init(@NAME@_settings *settings);

/* Runs the network on one image. Returns: @RETURNS@. */
int32_t @NAME@_run(const @NAME@_settings *settings, const @IMAGE_TYPE@ image[@UPPER@_IMAGE_SIZE], @NAME@_arena *arena,
                   @NAME@_outputs *outputs);

#ifdef __cplusplus
}
#endif

#endif
