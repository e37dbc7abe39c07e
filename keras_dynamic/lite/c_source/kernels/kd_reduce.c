/* Means, maxima and softmax. */
#include "kd_kernels.h"

void kd_mean_s8(const kd_mean *p, const int8_t *x, int8_t *y) {
  const kd_reduced axes = p->axes;
  for (int32_t i = 0; i < axes.outer; i++) {
    for (int32_t k = 0; k < axes.inner; k++) {
      const int8_t *from = x + i * axes.count * axes.inner + k;
      int32_t sum = -axes.count * p->in_zero;
      for (int32_t j = 0; j < axes.count; j++) {
        sum += from[j * axes.inner];
      }
      y[i * axes.inner + k] = (int8_t)kd_clamped(kd_scaled(sum, p->ratio) + p->out_zero, INT8_MIN, INT8_MAX);
    }
  }
}

void kd_max_s8(const kd_reduced *p, const int8_t *x, int8_t *y) {
  for (int32_t i = 0; i < p->outer; i++) {
    for (int32_t k = 0; k < p->inner; k++) {
      const int8_t *from = x + i * p->count * p->inner + k;
      int8_t most = *from;
      for (int32_t j = 1; j < p->count; j++) {
        most = from[j * p->inner] > most ? from[j * p->inner] : most;
      }
      y[i * p->inner + k] = most;
    }
  }
}

/* a * 2^exponent, at the ends of the range where it leaves it. */
static int32_t raised(int32_t a, int32_t exponent) {
  const int64_t found = (int64_t)a * ((int64_t)1 << exponent);
  return found > INT32_MAX ? INT32_MAX : (found < INT32_MIN ? INT32_MIN : (int32_t)found);
}

/* 1 / (1 + a) for a in [0, 1), both in 1/2^31, by three steps of Newton and Raphson. */
static int32_t reciprocal_of_one_plus(int32_t a) {
  const int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
  int32_t x = 1515870810 + kd_high_product(half, -1010580540); /* 48/17 - 32/17 half, in 1/2^29 */
  for (int32_t k = 0; k < 3; k++) {
    const int32_t rest = ((int32_t)1 << 29) - kd_high_product(half, x);
    x += raised(kd_high_product(x, rest), 2);
  }
  return raised(x, 1);
}

static int32_t leading_zeros(uint32_t x) {
  int32_t found = 0;
  for (uint32_t bit = (uint32_t)1 << 31; bit != 0 && (x & bit) == 0; bit >>= 1) {
    found++;
  }
  return found;
}

void kd_softmax_s8(const kd_softmax *p, const int8_t *x, int8_t *y) {
  for (int32_t i = 0; i < p->rows; i++) {
    int32_t most = INT8_MIN;
    for (int32_t k = 0; k < p->columns; k++) {
      most = x[k] > most ? x[k] : most;
    }
    int32_t sum = 0; /* in 1/2^19 */
    for (int32_t k = 0; k < p->columns; k++) {
      const int32_t below = most - x[k];
      sum += -below >= p->least_difference ? kd_rounded_shift(p->exponentials[below], 12) : 0;
    }
    const int32_t headroom = leading_zeros((uint32_t)sum);
    const int32_t rest = (int32_t)(((uint32_t)sum << headroom) - ((uint32_t)1 << 31));
    const int32_t scale = reciprocal_of_one_plus(rest);
    for (int32_t k = 0; k < p->columns; k++) {
      const int32_t below = most - x[k];
      const int32_t exponent = 12 - headroom + 31 - 8;
      int32_t found = 0;
      if (-below >= p->least_difference && exponent <= 31) { /* of more: so many alike that all are as good as 0 */
        found = kd_rounded_shift(kd_high_product(scale, p->exponentials[below]), exponent);
      }
      y[k] = (int8_t)kd_clamped(found + INT8_MIN, INT8_MIN, INT8_MAX);
    }
    x += p->columns;
    y += p->columns;
  }
}
