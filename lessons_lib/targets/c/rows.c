/* y: m codes, each of n codes x times a row of weights. The input's zero point is in the bias
   already: bias - zero_point * (the sum of the row). */
static void rows_of_weights(const int8_t *x, int8_t *y, int n, int m, const layer *l) {
  int o = 0;
  for (; o + 2 <= m; o += 2) {
    int32_t sums[2] = {l->bias[o], l->bias[o + 1]};
    dots(x, l->weights + o * n, l->weights + (o + 1) * n, n, sums);
    y[o] = finished(l, o, sums[0]);
    y[o + 1] = finished(l, o + 1, sums[1]);
  }
  if (o < m) { /* an odd one out */
    int32_t sums[2] = {l->bias[o], 0};
    dots(x, l->weights + o * n, l->weights + o * n, n, sums);
    y[o] = finished(l, o, sums[0]);
  }
}
