/* What is above zero changes its scale alone; what is below is multiplied by its slope as well. */
static void prelu(const int8_t *x, const int8_t *slopes, int8_t *y, int n, const walk *over_x,
                  const walk *over_slopes, int zero_of_x, int zero_of_slopes, const scaling *above,
                  const scaling *below, int low, int high) {
  for (int i = 0; i < n; i++) {
    int32_t steps = x[place(over_x, i)] - zero_of_x;
    int32_t product = steps * (slopes[place(over_slopes, i)] - zero_of_slopes);
    int32_t code = steps >= 0 ? rescaled(steps, above->multiplier, above->shift)
                              : rescaled(product, below->multiplier, below->shift);
    y[i] = clipped(code + above->zero_point, low, high);
  }
}
