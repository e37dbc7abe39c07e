/* Classifies images from files of input values, {{ 'one byte each' if image.bytes == image.elements else image.type }}: {{ image_shape }}. */
#include <stdio.h>

#include "{{ name }}.h"

#ifdef COUNT_INSTRUCTIONS
uint64_t instructions(void);
#endif

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "expected files of images\n");
    return 1;
  }
  static {{ name }}_arena arena;
  static {{ image.type }} image[{{ name | upper }}_IMAGE_SIZE];
  {{ name }}_settings settings;
  {{ name }}_outputs outputs;
  {{ name }}_init(&settings);
{% if interpreter %}
  if (!{{ name }}_start(&arena)) {
    fprintf(stderr, "the interpreter does not start; is the arena of %d bytes too small?\n", {{ name | upper }}_ARENA_BYTES);
    return 1;
  }
  printf("arena %lu bytes\n", (unsigned long){{ name }}_arena_used());
{% endif %}
  for (int place = 1; place < argc; place++) {
    FILE *file = fopen(argv[place], "rb");
    if (file == NULL) {
      fprintf(stderr, "%s: cannot be opened\n", argv[place]);
      return 1;
    }
    if (fread(image, 1, sizeof image, file) != sizeof image || fgetc(file) != EOF) {
      fprintf(stderr, "%s: expected a file of %d bytes: input values, no picture file\n", argv[place],
              (int)sizeof image);
      return 1;
    }
    (void)fclose(file);
#ifdef COUNT_INSTRUCTIONS
    const uint64_t before = instructions();
#endif
    const int found = (int){{ name }}_run(&settings, image, {{ '' if interpreter else '&arena, ' }}&outputs);
#ifdef COUNT_INSTRUCTIONS
    const unsigned long taken = (unsigned long)(instructions() - before);
#endif
    printf("%s class %d logits", argv[place], found);
    for (int k = 0; k < {{ name | upper }}_LOGITS_COUNT; k++) {
{% if logits.type == "float" %}
      printf(" %.9g", (double)outputs.logits[k]);
{% else %}
      printf(" %d", (int)outputs.logits[k]);
{% endif %}
    }
{% for port in outputs if port.name == "decisions" %}
    printf(" path ");
    for (int k = 0; k < {{ port.elements }}; k++) {
      printf("%d", (int)outputs.decisions[k]);
    }
{% endfor %}
{% for port in outputs if port.name == "macs" %}
    printf(" MACs %lu", (unsigned long)outputs.macs[0] * {{ macs_unit }}UL);
{% endfor %}
#ifdef COUNT_INSTRUCTIONS
    printf(" instructions %lu", taken);
#endif
    printf("\n");
  }
  return 0;
}
