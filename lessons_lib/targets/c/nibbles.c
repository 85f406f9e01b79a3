/* Weights of four bits stay packed in flash, eight in four bytes: byte k of them holds the weight of
   code k below, and that of code k + 4 above. Each is taken as the upper half of a byte, which is 16
   times its value, and the sum is divided once. */
static int32_t dot_of_nibbles(const int8_t *x, const int8_t *w, int n) {
  int32_t sum = 0;
  for (const int8_t *end = x + n; x != end; x += 8, w += 4) {
#if defined(__ARM_FEATURE_DSP)
    uint32_t word = four(w), low = word << 4 & 0xF0F0F0F0u, high = word & 0xF0F0F0F0u;
    uint32_t first = four(x), second = four(x + 4);
    sum = __smlad(__sxtb16(first), __sxtb16(low), sum);
    sum = __smlad(__sxtb16(__ror(first, 8)), __sxtb16(__ror(low, 8)), sum);
    sum = __smlad(__sxtb16(second), __sxtb16(high), sum);
    sum = __smlad(__sxtb16(__ror(second, 8)), __sxtb16(__ror(high, 8)), sum);
#else
    for (int k = 0; k < 4; k++)
      sum += x[k] * (int8_t)((w[k] & 0x0F) * 16) + x[k + 4] * (int8_t)(w[k] & 0xF0);
#endif
  }
  return sum / 16;
}

/* As rows_of_weights; n is a multiple of 8. */
static void rows_of_nibbles(const int8_t *x, int8_t *y, int n, int m, const layer *l) {
  for (int o = 0; o < m; o++)
    y[o] = finished(l, o, l->bias[o] + dot_of_nibbles(x, l->weights + o * (n / 2), n));
}
