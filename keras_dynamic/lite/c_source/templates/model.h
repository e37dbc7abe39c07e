/* A network that decides for each image how much of itself to run. Made by keras_dynamic. */
#ifndef {{ name | upper }}_H
#define {{ name | upper }}_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define {{ name | upper }}_IMAGE_SIZE {{ image.elements }} /* {{ image_shape }}: height, width, channels */
{% if image.scale %}
#define {{ name | upper }}_IMAGE_SCALE {{ image.scale }}f
#define {{ name | upper }}_IMAGE_ZERO {{ image.zero }} /* an input value v stands for scale * (v - zero) */
{% endif %}
#define {{ name | upper }}_LOGITS_COUNT {{ logits.elements }}
#define {{ name | upper }}_ARENA_BYTES {{ arena_bytes or 1 }}
#define {{ name | upper }}_MACS_UNIT {{ macs_unit }} /* what one of `macs` and of `budget` stands for */

/* Settings and outputs of int8 stand for numbers likewise. */
{% for port in settings + outputs if port.scale %}
#define {{ name | upper }}_{{ port.name | upper }}_SCALE {{ port.scale }}f
#define {{ name | upper }}_{{ port.name | upper }}_ZERO {{ port.zero }}
{% endfor %}
{% for kind, names in named.items() %}
/* {{ kind }}: {{ names | join(', ') }} */
{% endfor %}

/* Memory for {{ 'the interpreter and its tensors; it must be kept' if interpreter else 'one image; it need not be kept' }}. */
typedef union {
  int32_t aligned;
  uint8_t bytes[{{ name | upper }}_ARENA_BYTES];
} {{ name }}_arena;

/* What may be changed between images. */
typedef struct {
{% for port in settings %}
  {{ port.type }} {{ port.name }}[{{ port.elements }}];
{% else %}
  char none; /* nothing can be set */
{% endfor %}
} {{ name }}_settings;

typedef struct {
{% for port in outputs %}
  {{ port.type }} {{ port.name }}[{{ port.elements }}];
{% endfor %}
} {{ name }}_outputs;

/* The settings that the network was exported with. */
void {{ name }}_init({{ name }}_settings *settings);

{% if interpreter %}
/* Makes the interpreter in the arena, once, before the first image. Returns: whether it could; else the interpreter has printed why. */
bool {{ name }}_start({{ name }}_arena *arena);

/* Bytes of the arena that the interpreter has taken; 0 before it is started. */
uint32_t {{ name }}_arena_used(void);

/* Runs the network on one image. Returns: {{ 'The class' if classes else '0' }}; -1 if it is not started or the interpreter fails. */
int32_t {{ name }}_run(const {{ name }}_settings *settings, const {{ image.type }} image[{{ name | upper }}_IMAGE_SIZE], {{ name }}_outputs *outputs);
{% else %}
/* Runs the network on one image. Returns: {{ 'The class' if classes else '0' }}. */
int32_t {{ name }}_run(const {{ name }}_settings *settings, const {{ image.type }} image[{{ name | upper }}_IMAGE_SIZE], {{ name }}_arena *arena,
                   {{ name }}_outputs *outputs);
{% endif %}

#ifdef __cplusplus
}
#endif

#endif
