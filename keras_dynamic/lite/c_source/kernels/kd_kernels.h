/* Operators on int8 and float32 tensors, as TensorFlow Lite's reference kernels compute them, bit for bit.
 *
 * Feature maps are [height][width][channels]. Numbers of int8 stand for scale * (value - zero); a ratio of scales is a
 * multiplier in 1/2^31 and a shift to the left, which a kernel applies with kd_scaled(). In `size`, the last axis is
 * the innermost one.
 */
#ifndef KD_KERNELS_H
#define KD_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#define KD_AXES 5

typedef struct {
  int32_t height, width, channels;
} kd_map;

typedef struct {
  int32_t multiplier, shift;
} kd_ratio;

/* A convolution, a depthwise convolution or a pooling window. A float32 dense layer is one of 1 x 1. */
typedef struct {
  kd_map in, out;
  int32_t kernel_height, kernel_width, stride_height, stride_width, pad_top, pad_left, dilation_height, dilation_width;
  int32_t in_zero, out_zero, least, most;
  const int8_t *weights;      /* conv: [out][kernel_height][kernel_width][in]; depthwise: [kernel_height][kernel_width][out] */
  const int32_t *bias;        /* [out], or a null pointer for none */
  const int32_t *multipliers; /* [out], and of the same ratios */
  const int32_t *shifts;
} kd_window;

typedef struct {
  kd_map in, out;
  int32_t kernel_height, kernel_width, stride_height, stride_width, pad_top, pad_left, dilation_height, dilation_width;
  float least, most;
  const float *weights; /* as above */
  const float *bias;
} kd_window_f32;

typedef struct {
  int32_t rows, inputs, outputs, in_zero, out_zero, least, most;
  const int8_t *weights; /* [outputs][inputs] */
  const int32_t *bias;   /* [outputs], or a null pointer for none */
  const kd_ratio *ratios; /* [outputs] */
} kd_dense;

/* Two operands of which axes of size 1 are repeated: a step of 0. */
typedef struct {
  int32_t size[KD_AXES], step1[KD_AXES], step2[KD_AXES];
} kd_pairs;

typedef struct {
  kd_pairs pairs;
  int32_t left_shift, zero1, zero2, out_zero, least, most;
  kd_ratio ratio1, ratio2, out_ratio;
} kd_arithmetic;

typedef struct {
  int32_t size[KD_AXES], from_step[KD_AXES], to_step[KD_AXES];
  int32_t from, to; /* where the first element is */
} kd_places;

/* The middle one of three axes is reduced. */
typedef struct {
  int32_t outer, count, inner;
} kd_reduced;

typedef struct {
  kd_reduced axes;
  int32_t in_zero, out_zero;
  kd_ratio ratio; /* has the count in it */
} kd_mean;

typedef struct {
  int32_t rows, columns, least_difference;
  const int32_t *exponentials; /* [256] of differences from 0 down to -255 */
} kd_softmax;

void kd_conv_s8(const kd_window *p, const int8_t *x, int8_t *y);
void kd_depthwise_conv_s8(const kd_window *p, const int8_t *x, int8_t *y);
void kd_average_pool_s8(const kd_window *p, const int8_t *x, int8_t *y);
void kd_max_pool_s8(const kd_window *p, const int8_t *x, int8_t *y);
void kd_dense_s8(const kd_dense *p, const int8_t *x, int8_t *y);

#ifdef KD_CMSIS_NN /* whether CMSIS-NN has computed it */
bool kd_cmsis_nn_conv_s8(const kd_window *p, const int8_t *x, int8_t *y);
bool kd_cmsis_nn_depthwise_conv_s8(const kd_window *p, const int8_t *x, int8_t *y);
bool kd_cmsis_nn_average_pool_s8(const kd_window *p, const int8_t *x, int8_t *y);
bool kd_cmsis_nn_add_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y);
#endif

void kd_add_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y);
void kd_sub_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y);
void kd_mul_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y);
void kd_greater_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, bool *y);
void kd_greater_equal_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, bool *y);
void kd_maximum_s8(const kd_pairs *p, const int8_t *x1, const int8_t *x2, int8_t *y);
void kd_minimum_s8(const kd_pairs *p, const int8_t *x1, const int8_t *x2, int8_t *y);
void kd_add_s32(const kd_pairs *p, const int32_t *x1, const int32_t *x2, int32_t *y);
void kd_mul_s32(const kd_pairs *p, const int32_t *x1, const int32_t *x2, int32_t *y);
void kd_greater_s32(const kd_pairs *p, const int32_t *x1, const int32_t *x2, bool *y);
void kd_greater_equal_s32(const kd_pairs *p, const int32_t *x1, const int32_t *x2, bool *y);
void kd_and_s8(const kd_pairs *p, const bool *x1, const bool *x2, bool *y);
void kd_select_s8(const kd_pairs *p, const bool *condition, const int8_t *x1, const int8_t *x2, int8_t *y);

void kd_lookup_s8(const int8_t table[256], int32_t count, const int8_t *x, int8_t *y);
void kd_bool_to_s32(int32_t count, const bool *x, int32_t *y);
void kd_mean_s8(const kd_mean *p, const int8_t *x, int8_t *y);
void kd_max_s8(const kd_reduced *p, const int8_t *x, int8_t *y);
void kd_softmax_s8(const kd_softmax *p, const int8_t *x, int8_t *y);

void kd_conv_f32(const kd_window_f32 *p, const float *x, float *y);
void kd_depthwise_conv_f32(const kd_window_f32 *p, const float *x, float *y);
void kd_average_pool_f32(const kd_window_f32 *p, const float *x, float *y);
void kd_max_pool_f32(const kd_window_f32 *p, const float *x, float *y);
void kd_add_f32(const kd_pairs *p, const float *x1, const float *x2, float *y);
void kd_sub_f32(const kd_pairs *p, const float *x1, const float *x2, float *y);
void kd_mul_f32(const kd_pairs *p, const float *x1, const float *x2, float *y);
void kd_maximum_f32(const kd_pairs *p, const float *x1, const float *x2, float *y);
void kd_minimum_f32(const kd_pairs *p, const float *x1, const float *x2, float *y);
void kd_greater_f32(const kd_pairs *p, const float *x1, const float *x2, bool *y);
void kd_greater_equal_f32(const kd_pairs *p, const float *x1, const float *x2, bool *y);
void kd_select_f32(const kd_pairs *p, const bool *condition, const float *x1, const float *x2, float *y);
void kd_sum_f32(const kd_reduced *p, const float *x, float *y);
void kd_mean_f32(const kd_reduced *p, const float *x, float *y);
void kd_max_f32(const kd_reduced *p, const float *x, float *y);
void kd_softmax_f32(float beta, int32_t rows, int32_t columns, const float *x, float *y);
void kd_log_softmax_f32(int32_t rows, int32_t columns, const float *x, float *y);
void kd_clamp_f32(float least, float most, int32_t count, const float *x, float *y);
void kd_leaky_relu_f32(float slope, int32_t count, const float *x, float *y);
void kd_hard_swish_f32(int32_t count, const float *x, float *y);
void kd_logistic_f32(int32_t count, const float *x, float *y);
void kd_tanh_f32(int32_t count, const float *x, float *y);
void kd_exp_f32(int32_t count, const float *x, float *y);
void kd_abs_f32(int32_t count, const float *x, float *y);

void kd_copy_s8(const kd_places *p, const void *x, void *y); /* elements of one byte, of any type */
void kd_copy_s32(const kd_places *p, const void *x, void *y);
void kd_copy_f32(const kd_places *p, const void *x, void *y);

/* Part of a window that lies on the map, along one axis: first and one past the last of its taps. */
typedef struct {
  int32_t first, end;
} kd_taps;

static inline kd_taps kd_on_map(int32_t start, int32_t count, int32_t dilation, int32_t size) {
  kd_taps found = {0, count};
  while (found.first < count && start + found.first * dilation < 0) {
    found.first++;
  }
  while (found.end > found.first && start + (found.end - 1) * dilation >= size) {
    found.end--;
  }
  return found;
}

/* a * b / 2^31, rounded to the nearest, halves up; a and b are not both INT32_MIN. */
static inline int32_t kd_high_product(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* x / 2^exponent, rounded to the nearest, halves away from zero; exponent from 0 to 31. */
static inline int32_t kd_rounded_shift(int32_t x, int32_t exponent) {
  const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1u);
  const int32_t rest = x & mask;
  const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + (rest > threshold ? 1 : 0);
}

static inline int32_t kd_scaled(int32_t x, kd_ratio ratio) {
  const int32_t left = ratio.shift > 0 ? ratio.shift : 0;
  const int32_t right = ratio.shift > 0 ? 0 : -ratio.shift;
  return kd_rounded_shift(kd_high_product((int32_t)((uint32_t)x << left), ratio.multiplier), right);
}

/* As kd_scaled, but rounded once, halves away from zero, as LiteRT's dense layers are. */
static inline int32_t kd_scaled_once(int32_t x, kd_ratio ratio) {
  const int32_t right = 31 - ratio.shift;
  const int64_t product = (int64_t)x * ratio.multiplier;
  const int64_t half = (int64_t)1 << (right - 1);
  return (int32_t)(product >= 0 ? (product + half) >> right : -((half - product) >> right));
}

static inline int32_t kd_clamped(int32_t x, int32_t least, int32_t most) {
  return x < least ? least : (x > most ? most : x);
}

#endif
