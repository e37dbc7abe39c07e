/* Classifies images from files of input values, one byte each: @IMAGE_SHAPE@. */
#include <stdio.h>

#include "@NAME@.h"

#ifdef COUNT_INSTRUCTIONS
uint64_t instructions(void);
#endif

int main(int argc, char **argv) {
  static @NAME@_arena arena;
  static @IMAGE_TYPE@ image[@UPPER@_IMAGE_SIZE];
  @NAME@_settings settings;
  @NAME@_outputs outputs;
  @NAME@_init(&settings);
  for (int place = 1; place < argc; place++) {
    FILE *file = fopen(argv[place], "rb");
    if (file == NULL || fread(image, 1, sizeof image, file) != sizeof image) {
      fprintf(stderr, "%s: expected a file of %d bytes\n", argv[place], @UPPER@_IMAGE_SIZE);
      return 1;
    }
    (void)fclose(file);
#ifdef COUNT_INSTRUCTIONS
    const uint64_t before = instructions();
#endif
    const int found = (int)@NAME@_run(&settings, image, &arena, &outputs);
#ifdef COUNT_INSTRUCTIONS
    const unsigned long taken = (unsigned long)(instructions() - before);
#endif
    printf("%s class %d logits", argv[place], found);
    for (int k = 0; k < @UPPER@_LOGITS_COUNT; k++) {
      printf(" %d", (int)outputs.logits[k]);
    }
@PRINTED@#ifdef COUNT_INSTRUCTIONS
    printf(" instructions %lu", taken);
#endif
    printf("\n");
  }
  return 0;
}
