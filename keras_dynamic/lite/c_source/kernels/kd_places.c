/* Operators that move elements and compute nothing. */
#include "kd_kernels.h"

#define KD_MOVE(type)                                                                                             \
  const type *source = (const type *)x + p->from;                                                                 \
  type *target = (type *)y + p->to;                                                                               \
  for (int32_t i = 0; i < p->size[0]; i++) {                                                                      \
    for (int32_t j = 0; j < p->size[1]; j++) {                                                                    \
      for (int32_t k = 0; k < p->size[2]; k++) {                                                                  \
        for (int32_t l = 0; l < p->size[3]; l++) {                                                                \
          int32_t a = i * p->from_step[0] + j * p->from_step[1] + k * p->from_step[2] + l * p->from_step[3];      \
          int32_t b = i * p->to_step[0] + j * p->to_step[1] + k * p->to_step[2] + l * p->to_step[3];              \
          for (int32_t m = 0; m < p->size[4]; m++) {                                                              \
            target[b] = source[a];                                                                                \
            a += p->from_step[4];                                                                                 \
            b += p->to_step[4];                                                                                   \
          }                                                                                                       \
        }                                                                                                         \
      }                                                                                                           \
    }                                                                                                             \
  }

void kd_copy_s8(const kd_places *p, const void *x, void *y) { KD_MOVE(int8_t) }

void kd_copy_s32(const kd_places *p, const void *x, void *y) { KD_MOVE(int32_t) }

void kd_copy_f32(const kd_places *p, const void *x, void *y) { KD_MOVE(float) }
