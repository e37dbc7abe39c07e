/* Operators of one element, or of one of each of two tensors. */
#include "kd_kernels.h"

/* Runs `body` for each pair of elements: a and b are their places, y's moves on by itself. */
#define KD_EACH(p, body)                                                        \
  for (int32_t i = 0; i < (p)->size[0]; i++) {                                  \
    for (int32_t j = 0; j < (p)->size[1]; j++) {                                \
      for (int32_t k = 0; k < (p)->size[2]; k++) {                              \
        for (int32_t l = 0; l < (p)->size[3]; l++) {                            \
          int32_t a = i * (p)->step1[0] + j * (p)->step1[1] + k * (p)->step1[2] + l * (p)->step1[3]; \
          int32_t b = i * (p)->step2[0] + j * (p)->step2[1] + k * (p)->step2[2] + l * (p)->step2[3]; \
          for (int32_t m = 0; m < (p)->size[4]; m++) {                          \
            body;                                                               \
            a += (p)->step1[4];                                                 \
            b += (p)->step2[4];                                                 \
            y++;                                                                \
          }                                                                     \
        }                                                                       \
      }                                                                         \
    }                                                                           \
  }

static inline int32_t common(int32_t x, int32_t zero, int32_t left_shift, kd_ratio ratio) {
  return kd_scaled((x - zero) * (1 << left_shift), ratio);
}

void kd_add_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
  KD_EACH(&p->pairs, {
    const int32_t sum = common(x1[a], p->zero1, p->left_shift, p->ratio1) + common(x2[b], p->zero2, p->left_shift, p->ratio2);
    *y = (int8_t)kd_clamped(kd_scaled(sum, p->out_ratio) + p->out_zero, p->least, p->most);
  })
}

void kd_sub_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
  KD_EACH(&p->pairs, {
    const int32_t sum = common(x1[a], p->zero1, p->left_shift, p->ratio1) - common(x2[b], p->zero2, p->left_shift, p->ratio2);
    *y = (int8_t)kd_clamped(kd_scaled(sum, p->out_ratio) + p->out_zero, p->least, p->most);
  })
}

void kd_mul_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
  KD_EACH(&p->pairs, {
    const int32_t product = (x1[a] - p->zero1) * (x2[b] - p->zero2);
    *y = (int8_t)kd_clamped(kd_scaled(product, p->out_ratio) + p->out_zero, p->least, p->most);
  })
}

void kd_greater_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, bool *y) {
  KD_EACH(&p->pairs, {
    *y = common(x1[a], p->zero1, p->left_shift, p->ratio1) > common(x2[b], p->zero2, p->left_shift, p->ratio2);
  })
}

void kd_greater_equal_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, bool *y) {
  KD_EACH(&p->pairs, {
    *y = common(x1[a], p->zero1, p->left_shift, p->ratio1) >= common(x2[b], p->zero2, p->left_shift, p->ratio2);
  })
}

void kd_maximum_s8(const kd_pairs *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
  KD_EACH(p, { *y = x1[a] > x2[b] ? x1[a] : x2[b]; })
}

void kd_minimum_s8(const kd_pairs *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
  KD_EACH(p, { *y = x1[a] < x2[b] ? x1[a] : x2[b]; })
}

void kd_add_s32(const kd_pairs *p, const int32_t *x1, const int32_t *x2, int32_t *y) {
  KD_EACH(p, { *y = x1[a] + x2[b]; })
}

void kd_mul_s32(const kd_pairs *p, const int32_t *x1, const int32_t *x2, int32_t *y) {
  KD_EACH(p, { *y = x1[a] * x2[b]; })
}

void kd_greater_equal_s32(const kd_pairs *p, const int32_t *x1, const int32_t *x2, bool *y) {
  KD_EACH(p, { *y = x1[a] >= x2[b]; })
}

void kd_and(const kd_pairs *p, const bool *x1, const bool *x2, bool *y) {
  KD_EACH(p, { *y = x1[a] && x2[b]; })
}

void kd_select_s8(const kd_pairs *p, const bool *condition, const int8_t *x1, const int8_t *x2, int8_t *y) {
  const int8_t *x = *condition ? x1 : x2;
  KD_EACH(p, { *y = x[*condition ? a : b]; })
}

void kd_lookup_s8(const int8_t table[256], int32_t count, const int8_t *x, int8_t *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = table[x[k] + 128];
  }
}

void kd_bool_to_s32(int32_t count, const bool *x, int32_t *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = x[k] ? 1 : 0;
  }
}
