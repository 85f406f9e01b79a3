/* What a layer with weights needs after its sums. */
typedef struct {
  const int8_t *weights;
  const int32_t *bias, *multiplier; /* one for each output channel */
  const int8_t *shift;
  int32_t zero_point, low, high; /* of the output's codes */
} layer;

static int8_t finished(const layer *l, int channel, int32_t sum) {
  int32_t code = rescaled(sum, l->multiplier[channel], l->shift[channel]);
  return clipped(code + l->zero_point, l->low, l->high);
}
