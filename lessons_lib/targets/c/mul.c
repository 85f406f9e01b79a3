/* The scale of a product is the product of the scales. */
static void mul(const int8_t *a, const int8_t *b, int8_t *y, int n, const walk *over_a,
                const walk *over_b, int zero_of_a, int zero_of_b, const scaling *of_y, int low,
                int high) {
  for (int i = 0; i < n; i++) {
    int32_t product = (a[place(over_a, i)] - zero_of_a) * (b[place(over_b, i)] - zero_of_b);
    int32_t code = rescaled(product, of_y->multiplier, of_y->shift);
    y[i] = clipped(code + of_y->zero_point, low, high);
  }
}
