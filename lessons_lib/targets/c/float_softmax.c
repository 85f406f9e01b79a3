/* e to the power of x, for x up to 0: a power of 2, and a polynomial for the rest. */
static float exponential(float x) {
  if (x < -87.0f) return 0.0f;
  int halvings = (int)(0.5f - x * 1.44269504f);
  float rest = (x + (float)halvings * 0.693359375f) - (float)halvings * 2.12194440e-4f;
  float sum = 1.0f;
  for (int n = 7; n > 0; n--) sum = 1.0f + rest / (float)n * sum; /* 1 + r + r^2 / 2 + ... */
  for (; halvings > 0; halvings--) sum *= 0.5f;
  return sum;
}

static void float_softmax(const float *x, float *y, int rows, int n, float beta) {
  for (int row = 0; row < rows; row++, x += n, y += n) {
    float most = x[0], total = 0;
    for (int i = 1; i < n; i++)
      if (x[i] > most) most = x[i];
    for (int i = 0; i < n; i++) total += y[i] = exponential((x[i] - most) * beta);
    for (int i = 0; i < n; i++) y[i] /= total;
  }
}
