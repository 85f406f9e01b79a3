/* The loop in which a network spends its time: two sums of products at once, of the same n codes x
   and of two rows of weights, added to sums[0] and sums[1]; n is a multiple of 4. */
#if defined(__ARM_FEATURE_DSP)
static void dots(const int8_t *x, const int8_t *w, const int8_t *other, int n, int32_t *sums) {
  int32_t sum = sums[0], second = sums[1];
  for (const int8_t *end = x + n; x != end; x += 4, w += 4, other += 4) {
    uint32_t codes = four(x), ours = four(w), theirs = four(other);
    /* bytes 0 and 2, then bytes 1 and 3, as pairs of 16 bits: two products an instruction */
    int16x2_t even = __sxtb16(codes), odd = __sxtb16(__ror(codes, 8));
    sum = __smlad(even, __sxtb16(ours), sum);
    sum = __smlad(odd, __sxtb16(__ror(ours, 8)), sum);
    second = __smlad(even, __sxtb16(theirs), second);
    second = __smlad(odd, __sxtb16(__ror(theirs, 8)), second);
  }
  sums[0] = sum, sums[1] = second;
}
#else
static void dots(const int8_t *x, const int8_t *w, const int8_t *other, int n, int32_t *sums) {
  int32_t sum = sums[0], second = sums[1];
  for (int i = 0; i < n; i++) {
    sum += x[i] * w[i];
    second += x[i] * other[i];
  }
  sums[0] = sum, sums[1] = second;
}
#endif
