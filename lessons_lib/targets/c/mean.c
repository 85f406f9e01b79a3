/* The mean of ``count`` codes for each of n results; 1 / count is part of the multiplier. */
static void mean(const int8_t *x, int8_t *y, int n, int count, const walk *kept,
                 const walk *summed, int zero_point, const scaling *of_y, int low, int high) {
  for (int i = 0; i < n; i++) {
    const int8_t *first = x + place(kept, i);
    int32_t sum = 0;
    for (int j = 0; j < count; j++) sum += first[place(summed, j)] - zero_point;
    int32_t code = rescaled(sum, of_y->multiplier, of_y->shift);
    y[i] = clipped(code + of_y->zero_point, low, high);
  }
}
