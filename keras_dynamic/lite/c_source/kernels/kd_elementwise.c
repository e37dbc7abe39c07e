/* Operators of one element, or of one of each of two tensors. */
#include "kd_kernels.h"

/* Runs `body` for each pair of elements: a and b are their places, y's moves on by itself. `q` is a copy of the
 * parameters, which a write to y cannot change, so that they stay in registers. */
#define KD_EACH(pairs, body)                                                    \
  const kd_pairs each = (pairs);                                                \
  for (int32_t i = 0; i < each.size[0]; i++) {                                  \
    for (int32_t j = 0; j < each.size[1]; j++) {                                \
      for (int32_t k = 0; k < each.size[2]; k++) {                              \
        for (int32_t l = 0; l < each.size[3]; l++) {                            \
          int32_t a = i * each.step1[0] + j * each.step1[1] + k * each.step1[2] + l * each.step1[3]; \
          int32_t b = i * each.step2[0] + j * each.step2[1] + k * each.step2[2] + l * each.step2[3]; \
          for (int32_t m = each.size[4]; m > 0; m--) {                          \
            body;                                                               \
            a += each.step1[4];                                                 \
            b += each.step2[4];                                                 \
            y++;                                                                \
          }                                                                     \
        }                                                                       \
      }                                                                         \
    }                                                                           \
  }

static inline int32_t common(int32_t x, int32_t zero, int32_t left_shift, kd_ratio ratio) {
  return kd_scaled((x - zero) * ((int32_t)1 << left_shift), ratio);
}

void kd_add_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
#ifdef KD_CMSIS_NN
  if (kd_cmsis_nn_add_s8(p, x1, x2, y)) {
    return;
  }
#endif
  const kd_arithmetic q = *p;
  KD_EACH(q.pairs, {
    const int32_t sum = common(x1[a], q.zero1, q.left_shift, q.ratio1) + common(x2[b], q.zero2, q.left_shift, q.ratio2);
    *y = (int8_t)kd_clamped(kd_scaled(sum, q.out_ratio) + q.out_zero, q.least, q.most);
  })
}

void kd_sub_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
  const kd_arithmetic q = *p;
  KD_EACH(q.pairs, {
    const int32_t sum = common(x1[a], q.zero1, q.left_shift, q.ratio1) - common(x2[b], q.zero2, q.left_shift, q.ratio2);
    *y = (int8_t)kd_clamped(kd_scaled(sum, q.out_ratio) + q.out_zero, q.least, q.most);
  })
}

void kd_mul_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
  const kd_arithmetic q = *p;
  KD_EACH(q.pairs, {
    const int32_t product = (x1[a] - q.zero1) * (x2[b] - q.zero2);
    *y = (int8_t)kd_clamped(kd_scaled(product, q.out_ratio) + q.out_zero, q.least, q.most);
  })
}

void kd_greater_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, bool *y) {
  const kd_arithmetic q = *p;
  KD_EACH(q.pairs, {
    *y = common(x1[a], q.zero1, q.left_shift, q.ratio1) > common(x2[b], q.zero2, q.left_shift, q.ratio2);
  })
}

void kd_greater_equal_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, bool *y) {
  const kd_arithmetic q = *p;
  KD_EACH(q.pairs, {
    *y = common(x1[a], q.zero1, q.left_shift, q.ratio1) >= common(x2[b], q.zero2, q.left_shift, q.ratio2);
  })
}

/* Kernels without parameters. */
#define KD_PLAIN(name, type, result, value)                                 \
  void name(const kd_pairs *p, const type *x1, const type *x2, result *y) { \
    KD_EACH(*p, { *y = value; })                                            \
  }

KD_PLAIN(kd_maximum_s8, int8_t, int8_t, x1[a] > x2[b] ? x1[a] : x2[b])
KD_PLAIN(kd_minimum_s8, int8_t, int8_t, x1[a] < x2[b] ? x1[a] : x2[b])
KD_PLAIN(kd_add_s32, int32_t, int32_t, x1[a] + x2[b])
KD_PLAIN(kd_mul_s32, int32_t, int32_t, x1[a] * x2[b])
KD_PLAIN(kd_greater_s32, int32_t, bool, x1[a] > x2[b])
KD_PLAIN(kd_greater_equal_s32, int32_t, bool, x1[a] >= x2[b])
KD_PLAIN(kd_add_f32, float, float, x1[a] + x2[b])
KD_PLAIN(kd_sub_f32, float, float, x1[a] - x2[b])
KD_PLAIN(kd_mul_f32, float, float, x1[a] * x2[b])
KD_PLAIN(kd_maximum_f32, float, float, x1[a] > x2[b] ? x1[a] : x2[b])
KD_PLAIN(kd_minimum_f32, float, float, x1[a] < x2[b] ? x1[a] : x2[b])
KD_PLAIN(kd_greater_f32, float, bool, x1[a] > x2[b])
KD_PLAIN(kd_greater_equal_f32, float, bool, x1[a] >= x2[b])
KD_PLAIN(kd_and_s8, bool, bool, x1[a] && x2[b])

void kd_select_s8(const kd_pairs *p, const bool *condition, const int8_t *x1, const int8_t *x2, int8_t *y) {
  const int8_t *x = *condition ? x1 : x2;
  KD_EACH(*p, { *y = x[*condition ? a : b]; })
}

void kd_select_f32(const kd_pairs *p, const bool *condition, const float *x1, const float *x2, float *y) {
  const float *x = *condition ? x1 : x2;
  KD_EACH(*p, { *y = x[*condition ? a : b]; })
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
