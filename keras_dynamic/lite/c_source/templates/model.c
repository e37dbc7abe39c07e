#include "{{ name }}.h"

#include <math.h>
#include <string.h>

#include "kd_kernels.h"

typedef struct {
{% for port in [image] + settings %}
  const {{ port.type }} *{{ port.name }};
{% endfor %}
} model_inputs;

{{ constants | join('\n') }}

{{ functions | join('\n\n') }}

void {{ name }}_init({{ name }}_settings *settings) {
{% include "defaults.c" %}
}

int32_t {{ name }}_run(const {{ name }}_settings *settings, const {{ image.type }} image[{{ name | upper }}_IMAGE_SIZE], {{ name }}_arena *arena,
                   {{ name }}_outputs *outputs) {
  const model_inputs inputs = {image{% for port in settings %}, settings->{{ port.name }}{% endfor %}};
  uint8_t *memory = arena->bytes;
  (void)settings;
  run(&inputs, memory);
{% for port in outputs %}
  memcpy(outputs->{{ port.name }}, memory + {{ offsets[port.name] }}, {{ port.bytes }});
{% endfor %}
{% include "found.c" %}
}
