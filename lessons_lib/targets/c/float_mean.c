/* The mean of ``count`` numbers for each of n results. */
static void float_mean(const float *x, float *y, int n, int count, const walk *kept,
                       const walk *summed) {
  for (int i = 0; i < n; i++) {
    float sum = 0;
    for (int j = 0; j < count; j++) sum += x[place(kept, i) + place(summed, j)];
    y[i] = sum / (float)count;
  }
}
