/* Convolutions, average pooling and additions by Arm's CMSIS-NN, where KD_CMSIS_NN is defined; its answers are the
 * same, bit for bit. Dense layers stay: CMSIS-NN rounds them twice, as TensorFlow Lite Micro does, and LiteRT once.
 */
#include "kd_kernels.h"

#ifdef KD_CMSIS_NN
#include <arm_nnfunctions.h>

/* Memory for CMSIS-NN, in bytes; a layer that needs more is computed by the plain kernels. */
#ifndef KD_CMSIS_NN_SCRATCH
#define KD_CMSIS_NN_SCRATCH 8192
#endif

static int32_t scratch[(KD_CMSIS_NN_SCRATCH + 3) / 4];

/* A layer as CMSIS-NN has it, and whether there is memory for it. */
typedef struct {
  cmsis_nn_context memory;
  cmsis_nn_dims in, out, kernel, bias;
  cmsis_nn_per_channel_quant_params ratios;
} layer;

static cmsis_nn_dims size_of(kd_map map) {
  const cmsis_nn_dims size = {1, map.height, map.width, map.channels};
  return size;
}

static cmsis_nn_tile tile(int32_t width, int32_t height) {
  const cmsis_nn_tile made = {width, height};
  return made;
}

static layer layer_of(const kd_window *p) {
  layer made;
  made.in = size_of(p->in);
  made.out = size_of(p->out);
  made.kernel = (cmsis_nn_dims){p->out.channels, p->kernel_height, p->kernel_width, p->in.channels};
  made.bias = (cmsis_nn_dims){1, 1, 1, p->out.channels};
  made.ratios.multiplier = (int32_t *)(uintptr_t)p->multipliers; /* it does not write there */
  made.ratios.shift = (int32_t *)(uintptr_t)p->shifts;
  return made;
}

static bool has_memory(layer *made, int32_t needed) {
  made->memory.buf = scratch;
  made->memory.size = needed;
  return needed >= 0 && needed <= (int32_t)sizeof scratch;
}

bool kd_cmsis_nn_conv_s8(const kd_window *p, const int8_t *x, int8_t *y) {
  layer made = layer_of(p);
  cmsis_nn_conv_params with;
  with.input_offset = -p->in_zero;
  with.output_offset = p->out_zero;
  with.stride = tile(p->stride_width, p->stride_height);
  with.padding = tile(p->pad_left, p->pad_top);
  with.dilation = tile(p->dilation_width, p->dilation_height);
  with.activation.min = p->least;
  with.activation.max = p->most;
  return has_memory(&made, arm_convolve_wrapper_s8_get_buffer_size(&with, &made.in, &made.kernel, &made.out)) &&
         arm_convolve_wrapper_s8(&made.memory, &with, &made.ratios, &made.in, x, &made.kernel, p->weights, &made.bias,
                                 p->bias, &made.out, y) == ARM_CMSIS_NN_SUCCESS;
}

bool kd_cmsis_nn_depthwise_conv_s8(const kd_window *p, const int8_t *x, int8_t *y) {
  layer made = layer_of(p);
  cmsis_nn_dw_conv_params with;
  made.kernel = (cmsis_nn_dims){1, p->kernel_height, p->kernel_width, p->out.channels};
  with.input_offset = -p->in_zero;
  with.output_offset = p->out_zero;
  with.ch_mult = p->out.channels / p->in.channels;
  with.stride = tile(p->stride_width, p->stride_height);
  with.padding = tile(p->pad_left, p->pad_top);
  with.dilation = tile(p->dilation_width, p->dilation_height);
  with.activation.min = p->least;
  with.activation.max = p->most;
  return has_memory(&made, arm_depthwise_conv_wrapper_s8_get_buffer_size(&with, &made.in, &made.kernel, &made.out)) &&
         arm_depthwise_conv_wrapper_s8(&made.memory, &with, &made.ratios, &made.in, x, &made.kernel, p->weights,
                                       &made.bias, p->bias, &made.out, y) == ARM_CMSIS_NN_SUCCESS;
}

bool kd_cmsis_nn_average_pool_s8(const kd_window *p, const int8_t *x, int8_t *y) {
  layer made = layer_of(p);
  cmsis_nn_pool_params with;
  with.stride = tile(p->stride_width, p->stride_height);
  with.padding = tile(p->pad_left, p->pad_top);
  with.activation.min = p->least;
  with.activation.max = p->most;
  return has_memory(&made, arm_avgpool_s8_get_buffer_size(p->out.width, p->in.channels)) &&
         arm_avgpool_s8(&made.memory, &with, &made.in, x, &made.kernel, &made.out, y) == ARM_CMSIS_NN_SUCCESS;
}

bool kd_cmsis_nn_add_s8(const kd_arithmetic *p, const int8_t *x1, const int8_t *x2, int8_t *y) {
  const kd_pairs *pairs = &p->pairs;
  const int32_t last = KD_AXES - 1;
  int32_t outer = 1;
  for (int32_t axis = 0; axis < last; axis++) {
    outer *= pairs->size[axis];
  }
  return outer == 1 && pairs->step1[last] == 1 && pairs->step2[last] == 1 && /* nothing is repeated */
         arm_elementwise_add_s8(x1, x2, -p->zero1, p->ratio1.multiplier, p->ratio1.shift, -p->zero2,
                                p->ratio2.multiplier, p->ratio2.shift, p->left_shift, y, p->out_zero,
                                p->out_ratio.multiplier, p->out_ratio.shift, p->least, p->most,
                                pairs->size[last]) == ARM_CMSIS_NN_SUCCESS;
}
#endif
