/* Convolutions and dense layers. */
#include "kd_kernels.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#include <arm_mve.h>
#define VECTORS 1 /* of Cortex-M55 and M85 */
#endif

/* Output channels that are computed at one time, so that an input is loaded once for them. */
#define ABREAST 4

/* Inputs that lie side by side, several times: `count` of them, `times` times, and how far apart these lie. */
typedef struct {
  int32_t count, times, step, weight_step;
} runs;

/* Adds to each sum the products of the inputs of some runs with its own row of weights; rows lie `row` apart. */
static void add_products(const int8_t *x, int32_t zero, const int8_t *weights, int32_t row, runs p, int32_t rows,
                         int32_t sums[ABREAST]) {
  if (rows < ABREAST) {
    for (int32_t r = 0; r < rows; r++) {
      for (int32_t t = 0; t < p.times; t++) {
        for (int32_t k = 0; k < p.count; k++) {
          sums[r] += (x[t * p.step + k] - zero) * weights[r * row + t * p.weight_step + k];
        }
      }
    }
    return;
  }
  int32_t s0 = sums[0];
  int32_t s1 = sums[1];
  int32_t s2 = sums[2];
  int32_t s3 = sums[3];
#ifdef VECTORS
  int32_t t0 = 0; /* totals of the weights, which the inputs' zero multiplies */
  int32_t t1 = 0;
  int32_t t2 = 0;
  int32_t t3 = 0;
#endif
  for (int32_t t = 0; t < p.times; t++) {
    const int8_t *w0 = weights;
    const int8_t *w1 = w0 + row;
    const int8_t *w2 = w1 + row;
    const int8_t *w3 = w2 + row;
#ifdef VECTORS
    for (int32_t k = 0; k < p.count; k += 16) {
      const mve_pred16_t lanes = vctp8q((uint32_t)(p.count - k));
      const int8x16_t given = vldrbq_z_s8(x + k, lanes);
      const int8x16_t v0 = vldrbq_z_s8(w0 + k, lanes);
      const int8x16_t v1 = vldrbq_z_s8(w1 + k, lanes);
      const int8x16_t v2 = vldrbq_z_s8(w2 + k, lanes);
      const int8x16_t v3 = vldrbq_z_s8(w3 + k, lanes);
      s0 = vmladavaq_s8(s0, given, v0);
      s1 = vmladavaq_s8(s1, given, v1);
      s2 = vmladavaq_s8(s2, given, v2);
      s3 = vmladavaq_s8(s3, given, v3);
      t0 = vaddvaq_s8(t0, v0);
      t1 = vaddvaq_s8(t1, v1);
      t2 = vaddvaq_s8(t2, v2);
      t3 = vaddvaq_s8(t3, v3);
    }
    x += p.step;
#else
    const int8_t *next = x + p.step;
    for (const int8_t *end = x + p.count; x < end;) {
      const int32_t given = *x++ - zero;
      s0 += given * *w0++;
      s1 += given * *w1++;
      s2 += given * *w2++;
      s3 += given * *w3++;
    }
    x = next;
#endif
    weights += p.weight_step;
  }
#ifdef VECTORS
  s0 -= zero * t0;
  s1 -= zero * t1;
  s2 -= zero * t2;
  s3 -= zero * t3;
#endif
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

static int32_t start(const int32_t *bias, int32_t first, int32_t channels, int32_t sums[ABREAST]) {
  const int32_t left = channels - first;
  const int32_t rows = left < ABREAST ? left : ABREAST;
  for (int32_t r = 0; r < rows; r++) {
    sums[r] = bias != 0 ? bias[first + r] : 0;
  }
  return rows;
}

static kd_ratio ratio(const kd_window *p, int32_t channel) {
  const kd_ratio found = {p->multipliers[channel], p->shifts[channel]};
  return found;
}

static int8_t answered(int32_t scaled, int32_t zero, int32_t least, int32_t most) {
  return (int8_t)kd_clamped(scaled + zero, least, most);
}

void kd_conv_s8(const kd_window *p, const int8_t *x, int8_t *y) {
#ifdef KD_CMSIS_NN
  if (kd_cmsis_nn_conv_s8(p, x, y)) {
    return;
  }
#endif
  const int32_t row = p->in.width * p->in.channels;
  const int32_t kernel_row = p->kernel_width * p->in.channels;
  const int32_t filter = p->kernel_height * kernel_row;
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const kd_taps rows = kd_on_map(top, p->kernel_height, p->dilation_height, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const kd_taps columns = kd_on_map(left, p->kernel_width, p->dilation_width, p->in.width);
      for (int32_t c = 0; c < p->out.channels; c += ABREAST) {
        int32_t sums[ABREAST];
        const int32_t channels = start(p->bias, c, p->out.channels, sums);
        const int8_t *weights = p->weights + c * filter;
        if (p->dilation_width == 1) { /* the taps of a row lie side by side */
          const runs lines = {(columns.end - columns.first) * p->in.channels, rows.end - rows.first,
                              p->dilation_height * row, kernel_row};
          add_products(x + (top + rows.first * p->dilation_height) * row + (left + columns.first) * p->in.channels,
                       p->in_zero, weights + rows.first * kernel_row + columns.first * p->in.channels, filter, lines,
                       channels, sums);
        } else {
          for (int32_t a = rows.first; a < rows.end; a++) {
            const runs taps_of_row = {p->in.channels, columns.end - columns.first,
                                      p->dilation_width * p->in.channels, p->in.channels};
            add_products(x + (top + a * p->dilation_height) * row +
                             (left + columns.first * p->dilation_width) * p->in.channels,
                         p->in_zero, weights + a * kernel_row + columns.first * p->in.channels, filter, taps_of_row,
                         channels, sums);
          }
        }
        for (int32_t r = 0; r < channels; r++) {
          *y++ = answered(kd_scaled(sums[r], ratio(p, c + r)), p->out_zero, p->least, p->most);
        }
      }
    }
  }
}

void kd_depthwise_conv_s8(const kd_window *p, const int8_t *x, int8_t *y) {
#ifdef KD_CMSIS_NN
  if (kd_cmsis_nn_depthwise_conv_s8(p, x, y)) {
    return;
  }
#endif
  const int32_t repeats = p->out.channels / p->in.channels;
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const kd_taps rows = kd_on_map(top, p->kernel_height, p->dilation_height, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const kd_taps columns = kd_on_map(left, p->kernel_width, p->dilation_width, p->in.width);
      for (int32_t c = 0; c < p->out.channels; c++) {
        int32_t sum = p->bias != 0 ? p->bias[c] : 0;
        for (int32_t a = rows.first; a < rows.end; a++) {
          const int32_t line = (top + a * p->dilation_height) * p->in.width;
          for (int32_t b = columns.first; b < columns.end; b++) {
            const int32_t place = (line + left + b * p->dilation_width) * p->in.channels + c / repeats;
            sum += (x[place] - p->in_zero) * p->weights[(a * p->kernel_width + b) * p->out.channels + c];
          }
        }
        *y++ = answered(kd_scaled(sum, ratio(p, c)), p->out_zero, p->least, p->most);
      }
    }
  }
}

static void pool(const kd_window *p, const int8_t *x, int8_t *y, bool average) {
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const kd_taps rows = kd_on_map(top, p->kernel_height, 1, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const kd_taps columns = kd_on_map(left, p->kernel_width, 1, p->in.width);
      const int32_t count = (rows.end - rows.first) * (columns.end - columns.first);
      for (int32_t c = 0; c < p->out.channels; c++) {
        int32_t sum = 0;
        int32_t most = INT8_MIN;
        for (int32_t a = rows.first; a < rows.end; a++) {
          const int8_t *from = x + ((top + a) * p->in.width + left + columns.first) * p->in.channels + c;
          for (int32_t b = columns.first; b < columns.end; b++) {
            sum += *from;
            most = *from > most ? *from : most;
            from += p->in.channels;
          }
        }
        const int32_t mean = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
        *y++ = (int8_t)kd_clamped(average ? mean : most, p->least, p->most);
      }
    }
  }
}

void kd_average_pool_s8(const kd_window *p, const int8_t *x, int8_t *y) {
#ifdef KD_CMSIS_NN
  if (kd_cmsis_nn_average_pool_s8(p, x, y)) {
    return;
  }
#endif
  pool(p, x, y, true);
}

void kd_max_pool_s8(const kd_window *p, const int8_t *x, int8_t *y) { pool(p, x, y, false); }

void kd_dense_s8(const kd_dense *p, const int8_t *x, int8_t *y) {
  const runs all = {p->inputs, 1, 0, 0};
  for (int32_t i = 0; i < p->rows; i++) {
    for (int32_t c = 0; c < p->outputs; c += ABREAST) {
      int32_t sums[ABREAST];
      const int32_t channels = start(p->bias, c, p->outputs, sums);
      add_products(x, p->in_zero, p->weights + c * p->inputs, p->inputs, all, channels, sums);
      for (int32_t r = 0; r < channels; r++) {
        *y++ = answered(kd_scaled_once(sums[r], p->ratios[c + r]), p->out_zero, p->least, p->most);
      }
    }
    x += p->inputs;
  }
}
