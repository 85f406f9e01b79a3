/* x: rows of n numbers; y: rows of m. */
static void float_fully_connected(const float *x, float *y, int rows, int n, int m,
                                  const float_layer *l) {
  for (int row = 0; row < rows; row++, x += n)
    for (int o = 0; o < m; o++) {
      float sum = l->bias[o];
      for (int i = 0; i < n; i++) sum += x[i] * l->weights[o * n + i];
      *y++ = clipped_float(sum, l->low, l->high);
    }
}
