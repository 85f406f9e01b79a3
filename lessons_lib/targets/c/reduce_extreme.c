/* REDUCE_MAX (sign 1) and REDUCE_MIN (sign -1): the extreme of ``count`` codes for each of n. */
static void reduce_extreme(const int8_t *x, int8_t *y, int n, int count, const walk *kept,
                           const walk *seen, int sign) {
  for (int i = 0; i < n; i++) {
    const int8_t *first = x + place(kept, i);
    y[i] = *first;
    for (int j = 1; j < count; j++) {
      int8_t code = first[place(seen, j)];
      if (sign * code > sign * y[i]) y[i] = code;
    }
  }
}
