/* sum * multiplier * 2^(shift - 31), rounded twice as TFLite-Micro does: the high half of the
   product to the nearest, ties up; then the shift to the right, ties away from zero. Sums leave
   room below 2^31 for half a step of it. */
static int32_t rescaled(int32_t sum, int32_t multiplier, int shift) {
  int64_t product = (int64_t)(sum * (1 << (shift > 0 ? shift : 0))) * multiplier;
  int32_t high = (int32_t)((product + (1 << 30)) >> 31);
  if (shift >= 0) return high;
  return (high + (1 << (-shift - 1)) + (high >> 31)) >> -shift; /* high >> 31: -1 below zero */
}
