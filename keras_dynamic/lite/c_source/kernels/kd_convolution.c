/* Convolutions and dense layers. */
#include "kd_kernels.h"

/* Part of a window that lies on the map, along one axis: first and one past the last of its taps. */
typedef struct {
  int32_t first, end;
} taps;

static taps on_map(int32_t start, int32_t count, int32_t dilation, int32_t size) {
  taps found = {0, count};
  while (found.first < count && start + found.first * dilation < 0) {
    found.first++;
  }
  while (found.end > found.first && start + (found.end - 1) * dilation >= size) {
    found.end--;
  }
  return found;
}

/* Output channels that are computed at one time, so that an input is loaded once for them. */
#define ABREAST 4

/* Adds to each sum the products of `count` inputs with its own row of weights; rows lie `row` apart. */
static void add_products(const int8_t *x, int32_t zero, const int8_t *weights, int32_t row, int32_t count, int32_t rows,
                         int32_t sums[ABREAST]) {
  if (rows == ABREAST) {
    const int8_t *w0 = weights;
    const int8_t *w1 = w0 + row;
    const int8_t *w2 = w1 + row;
    const int8_t *w3 = w2 + row;
    int32_t s0 = sums[0];
    int32_t s1 = sums[1];
    int32_t s2 = sums[2];
    int32_t s3 = sums[3];
    for (const int8_t *end = x + count; x < end;) {
      const int32_t given = *x++ - zero;
      s0 += given * *w0++;
      s1 += given * *w1++;
      s2 += given * *w2++;
      s3 += given * *w3++;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    return;
  }
  for (int32_t r = 0; r < rows; r++) {
    for (int32_t k = 0; k < count; k++) {
      sums[r] += (x[k] - zero) * weights[r * row + k];
    }
  }
}

static int32_t start(const int32_t *bias, int32_t first, int32_t channels, int32_t sums[ABREAST]) {
  const int32_t left = channels - first;
  const int32_t rows = left < ABREAST ? left : ABREAST;
  for (int32_t r = 0; r < rows; r++) {
    sums[r] = bias != 0 ? bias[first + r] : 0;
  }
  return rows;
}

static int8_t answered(int32_t scaled, int32_t zero, int32_t least, int32_t most) {
  return (int8_t)kd_clamped(scaled + zero, least, most);
}

void kd_conv_s8(const kd_window *p, const int8_t *x, int8_t *y) {
  const int32_t row = p->in.width * p->in.channels;
  const int32_t kernel_row = p->kernel_width * p->in.channels;
  const int32_t filter = p->kernel_height * kernel_row;
  const int32_t together = p->dilation_width == 1 ? p->kernel_width : 1; /* taps of a row that lie side by side */
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const taps rows = on_map(top, p->kernel_height, p->dilation_height, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const taps columns = on_map(left, p->kernel_width, p->dilation_width, p->in.width);
      for (int32_t c = 0; c < p->out.channels; c += ABREAST) {
        int32_t sums[ABREAST];
        const int32_t channels = start(p->bias, c, p->out.channels, sums);
        for (int32_t a = rows.first; a < rows.end; a++) {
          const int8_t *line = x + (top + a * p->dilation_height) * row;
          const int8_t *weights = p->weights + c * filter + a * kernel_row;
          for (int32_t b = columns.first; b < columns.end; b += together) {
            const int32_t count = columns.end - b < together ? columns.end - b : together;
            add_products(line + (left + b * p->dilation_width) * p->in.channels, p->in_zero,
                         weights + b * p->in.channels, filter, count * p->in.channels, channels, sums);
          }
        }
        for (int32_t r = 0; r < channels; r++) {
          *y++ = answered(kd_scaled(sums[r], p->ratios[c + r]), p->out_zero, p->least, p->most);
        }
      }
    }
  }
}

void kd_depthwise_conv_s8(const kd_window *p, const int8_t *x, int8_t *y) {
  const int32_t repeats = p->out.channels / p->in.channels;
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const taps rows = on_map(top, p->kernel_height, p->dilation_height, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const taps columns = on_map(left, p->kernel_width, p->dilation_width, p->in.width);
      for (int32_t c = 0; c < p->out.channels; c++) {
        int32_t sum = p->bias != 0 ? p->bias[c] : 0;
        for (int32_t a = rows.first; a < rows.end; a++) {
          const int32_t line = (top + a * p->dilation_height) * p->in.width;
          for (int32_t b = columns.first; b < columns.end; b++) {
            const int32_t place = (line + left + b * p->dilation_width) * p->in.channels + c / repeats;
            sum += (x[place] - p->in_zero) * p->weights[(a * p->kernel_width + b) * p->out.channels + c];
          }
        }
        *y++ = answered(kd_scaled(sum, p->ratios[c]), p->out_zero, p->least, p->most);
      }
    }
  }
}

static void pool(const kd_window *p, const int8_t *x, int8_t *y, bool average) {
  for (int32_t i = 0; i < p->out.height; i++) {
    const int32_t top = i * p->stride_height - p->pad_top;
    const taps rows = on_map(top, p->kernel_height, 1, p->in.height);
    for (int32_t j = 0; j < p->out.width; j++) {
      const int32_t left = j * p->stride_width - p->pad_left;
      const taps columns = on_map(left, p->kernel_width, 1, p->in.width);
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

void kd_average_pool_s8(const kd_window *p, const int8_t *x, int8_t *y) { pool(p, x, y, true); }

void kd_max_pool_s8(const kd_window *p, const int8_t *x, int8_t *y) { pool(p, x, y, false); }

void kd_dense_s8(const kd_dense *p, const int8_t *x, int8_t *y) {
  for (int32_t c = 0; c < p->outputs; c += ABREAST) {
    int32_t sums[ABREAST];
    const int32_t channels = start(p->bias, c, p->outputs, sums);
    add_products(x, p->in_zero, p->weights + c * p->inputs, p->inputs, p->inputs, channels, sums);
    for (int32_t r = 0; r < channels; r++) {
      y[c + r] = answered(kd_scaled_once(sums[r], p->ratios[c + r]), p->out_zero, p->least, p->most);
    }
  }
}
