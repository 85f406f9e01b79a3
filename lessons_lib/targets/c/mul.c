/* The scale of a product is the product of the scales. */
static void mul(const int8_t *a, const int8_t *b, int8_t *y, int n, const walk *over_a,
                const walk *over_b, const scaling *of_a, const scaling *of_b, const scaling *of_y,
                int low, int high) {
  for (int i = 0; i < n; i++) {
    int32_t product =
        (a[place(over_a, i)] - of_a->zero_point) * (b[place(over_b, i)] - of_b->zero_point);
    int32_t code = rescaled(product, of_y->multiplier, of_y->shift);
    y[i] = clipped(code + of_y->zero_point, low, high);
  }
}
