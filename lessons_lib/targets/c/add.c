/* a + sign * b: both are brought to one scale with 20 more bits first. */
static void add(const int8_t *a, const int8_t *b, int8_t *y, int n, const walk *over_a,
                const walk *over_b, int sign, const scaling *of_a, const scaling *of_b,
                const scaling *of_y, int low, int high) {
  for (int i = 0; i < n; i++) {
    int32_t first = (a[place(over_a, i)] - of_a->zero_point) * (1 << 20);
    int32_t second = (b[place(over_b, i)] - of_b->zero_point) * (1 << 20);
    first = rescaled(first, of_a->multiplier, of_a->shift);
    second = rescaled(second, of_b->multiplier, of_b->shift);
    int32_t sum = rescaled(first + sign * second, of_y->multiplier, of_y->shift);
    y[i] = clipped(sum + of_y->zero_point, low, high);
  }
}
