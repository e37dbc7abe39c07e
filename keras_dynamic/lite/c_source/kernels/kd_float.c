/* Operators on float32 tensors. Sums are in the order of TensorFlow Lite's reference kernels. */
#include <float.h>
#include <math.h>

#include "kd_kernels.h"

/* A product is rounded before it is added. GCC does so with -std=c99, or else with -ffp-contract=off. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

static inline float clamped(float x, float least, float most) { return x < least ? least : (x > most ? most : x); }

void kd_conv_f32(const kd_window_f32 *p, const float *x, float *y) {
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const kd_taps rows = kd_on_map(top, p->kernel_height, p->dilation_height, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const kd_taps columns = kd_on_map(left, p->kernel_width, p->dilation_width, p->in.width);
      for (int32_t c = 0; c < p->out.channels; c++) {
        float sum = 0;
        for (int32_t a = rows.first; a < rows.end; a++) {
          for (int32_t b = columns.first; b < columns.end; b++) {
            const int32_t place = (top + a * p->dilation_height) * p->in.width + left + b * p->dilation_width;
            const float *from = x + place * p->in.channels;
            const float *weights = p->weights + ((c * p->kernel_height + a) * p->kernel_width + b) * p->in.channels;
            for (int32_t k = 0; k < p->in.channels; k++) {
              sum += from[k] * weights[k];
            }
          }
        }
        *y++ = clamped(sum + (p->bias != 0 ? p->bias[c] : 0), p->least, p->most);
      }
    }
  }
}

void kd_depthwise_conv_f32(const kd_window_f32 *p, const float *x, float *y) {
  const int32_t repeats = p->out.channels / p->in.channels;
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const kd_taps rows = kd_on_map(top, p->kernel_height, p->dilation_height, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const kd_taps columns = kd_on_map(left, p->kernel_width, p->dilation_width, p->in.width);
      for (int32_t c = 0; c < p->out.channels; c++) {
        float sum = 0;
        for (int32_t a = rows.first; a < rows.end; a++) {
          const int32_t line = (top + a * p->dilation_height) * p->in.width;
          for (int32_t b = columns.first; b < columns.end; b++) {
            const int32_t place = (line + left + b * p->dilation_width) * p->in.channels + c / repeats;
            sum += x[place] * p->weights[(a * p->kernel_width + b) * p->out.channels + c];
          }
        }
        *y++ = clamped(sum + (p->bias != 0 ? p->bias[c] : 0), p->least, p->most);
      }
    }
  }
}

static void pool(const kd_window_f32 *p, const float *x, float *y, bool average) {
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const kd_taps rows = kd_on_map(top, p->kernel_height, 1, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const kd_taps columns = kd_on_map(left, p->kernel_width, 1, p->in.width);
      const int32_t count = (rows.end - rows.first) * (columns.end - columns.first);
      for (int32_t c = 0; c < p->out.channels; c++) {
        float sum = 0;
        float most = -FLT_MAX;
        for (int32_t a = rows.first; a < rows.end; a++) {
          const float *from = x + ((top + a) * p->in.width + left + columns.first) * p->in.channels + c;
          for (int32_t b = columns.first; b < columns.end; b++) {
            sum += *from;
            most = *from > most ? *from : most;
            from += p->in.channels;
          }
        }
        *y++ = clamped(average ? sum / (float)count : most, p->least, p->most);
      }
    }
  }
}

void kd_average_pool_f32(const kd_window_f32 *p, const float *x, float *y) { pool(p, x, y, true); }

void kd_max_pool_f32(const kd_window_f32 *p, const float *x, float *y) { pool(p, x, y, false); }

/* Runs `body` for each element of a reduced axis, then `last`, once for each result. */
#define KD_REDUCED(first, body, last)                      \
  for (int32_t i = 0; i < p->outer; i++) {                 \
    for (int32_t k = 0; k < p->inner; k++) {               \
      const float *from = x + i * p->count * p->inner + k; \
      float found = first;                                 \
      for (int32_t j = 0; j < p->count; j++) {             \
        body;                                              \
        from += p->inner;                                  \
      }                                                    \
      y[i * p->inner + k] = last;                          \
    }                                                      \
  }

void kd_sum_f32(const kd_reduced *p, const float *x, float *y) { KD_REDUCED(0, found += *from, found) }

void kd_mean_f32(const kd_reduced *p, const float *x, float *y) {
  KD_REDUCED(0, found += *from, found / (float)p->count)
}

void kd_max_f32(const kd_reduced *p, const float *x, float *y) {
  KD_REDUCED(-FLT_MAX, found = *from > found ? *from : found, found)
}

static float most_of(int32_t count, const float *x) {
  float most = x[0];
  for (int32_t k = 1; k < count; k++) {
    most = x[k] > most ? x[k] : most;
  }
  return most;
}

void kd_softmax_f32(float beta, int32_t rows, int32_t columns, const float *x, float *y) {
  for (int32_t i = 0; i < rows; i++) {
    const float most = most_of(columns, x);
    float sum = 0;
    for (int32_t k = 0; k < columns; k++) {
      y[k] = expf((x[k] - most) * beta);
      sum += y[k];
    }
    for (int32_t k = 0; k < columns; k++) {
      y[k] /= sum;
    }
    x += columns;
    y += columns;
  }
}

void kd_log_softmax_f32(int32_t rows, int32_t columns, const float *x, float *y) {
  for (int32_t i = 0; i < rows; i++) {
    const float most = most_of(columns, x);
    float sum = 0;
    for (int32_t k = 0; k < columns; k++) {
      sum += expf(x[k] - most);
    }
    const float log_sum = logf(sum);
    for (int32_t k = 0; k < columns; k++) {
      y[k] = x[k] - most - log_sum;
    }
    x += columns;
    y += columns;
  }
}

void kd_clamp_f32(float least, float most, int32_t count, const float *x, float *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = clamped(x[k], least, most);
  }
}

void kd_leaky_relu_f32(float slope, int32_t count, const float *x, float *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = x[k] > 0 ? x[k] : x[k] * slope;
  }
}

void kd_hard_swish_f32(int32_t count, const float *x, float *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = x[k] * clamped(x[k] + 3, 0, 6) / 6;
  }
}

/* Beyond these bounds the sigmoid is 1, or exp(x), in float32. */
void kd_logistic_f32(int32_t count, const float *x, float *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = x[k] > 16.6190472f ? 1 : (x[k] < -9 ? expf(x[k]) : 1 / (1 + expf(-x[k])));
  }
}

void kd_tanh_f32(int32_t count, const float *x, float *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = tanhf(x[k]);
  }
}

void kd_exp_f32(int32_t count, const float *x, float *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = expf(x[k]);
  }
}

void kd_abs_f32(int32_t count, const float *x, float *y) {
  for (int32_t k = 0; k < count; k++) {
    y[k] = fabsf(x[k]);
  }
}
