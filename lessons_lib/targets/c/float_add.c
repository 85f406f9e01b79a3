static void float_add(const float *a, const float *b, float *y, int n, const walk *over_a,
                      const walk *over_b, float low, float high) {
  for (int i = 0; i < n; i++)
    y[i] = clipped_float(a[place(over_a, i)] + b[place(over_b, i)], low, high);
}
