static int32_t high_multiply(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* x / 2^n to the nearest integer, ties away from zero; x is not negative. */
static int32_t shared(int32_t x, int n) {
  return (int32_t)(((int64_t)x + ((int64_t)1 << n >> 1)) >> n);
}

/* 1 / (1 + x), where 2^31 stands for 1: three of Newton's steps, from 48/17 - 32/17 * half. */
static int32_t inverse_of_one_plus(int32_t x) {
  int32_t half = (int32_t)(((int64_t)x + ((int64_t)1 << 31)) >> 1);
  int32_t result = 1515870810 + high_multiply(half, -1010580540);
  for (int step = 0; step < 3; step++)
    result += 4 * high_multiply(result, (1 << 29) - high_multiply(half, result));
  return result > INT32_MAX / 2 ? INT32_MAX : 2 * result;
}

/* ``exps`` has exp of minus each distance from the largest code, 2^31 for 1; what lies behind its
   ``distances`` is nothing. The codes of the shares are those of scale 1/256, zero point -128. */
static void softmax(const int8_t *x, int8_t *y, int rows, int n, const int32_t *exps,
                    int distances) {
  for (int row = 0; row < rows; row++, x += n, y += n) {
    int most = INT8_MIN, headroom = 0;
    uint32_t total = 0;
    for (int i = 0; i < n; i++)
      if (x[i] > most) most = x[i];
    for (int i = 0; i < n; i++)
      if (most - x[i] < distances) total += (uint32_t)shared(exps[most - x[i]], 12);
    while (!(total << headroom >> 31)) headroom++;
    int32_t inverse = inverse_of_one_plus((int32_t)((total << headroom) - 0x80000000u));
    for (int i = 0; i < n; i++) {
      int32_t part = most - x[i] < distances ? high_multiply(inverse, exps[most - x[i]]) : 0;
      y[i] = clipped(shared(part, 35 - headroom) - 128, INT8_MIN, INT8_MAX);
    }
  }
}
