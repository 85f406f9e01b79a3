/* MAXIMUM (sign 1) and MINIMUM (sign -1): all scales are the same. */
static void extreme(const int8_t *a, const int8_t *b, int8_t *y, int n, const walk *over_a,
                    const walk *over_b, int sign) {
  for (int i = 0; i < n; i++) {
    int8_t one = a[place(over_a, i)], other = b[place(over_b, i)];
    y[i] = sign * one >= sign * other ? one : other;
  }
}
