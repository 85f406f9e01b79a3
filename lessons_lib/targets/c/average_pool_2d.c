/* The mean of each window without its padding, rounded half away from zero. */
static void average_pool_2d(const int8_t *x, int8_t *y, int low, int high, const window *v) {
  for (int row = 0; row < v->out[0]; row++)
    for (int column = 0; column < v->out[1]; column++)
      for (int channel = 0; channel < v->channels; channel++) {
        int32_t sum = 0, count = 0;
        for (int i = 0; i < v->filter[0]; i++)
          for (int j = 0; j < v->filter[1]; j++) {
            int r = first_of(v, 0, row) + i, c = first_of(v, 1, column) + j;
            if (!is_inside(v, 0, r) || !is_inside(v, 1, c)) continue;
            sum += x[(r * v->in[1] + c) * v->channels + channel];
            count++;
          }
        sum = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
        *y++ = clipped(sum, low, high);
      }
}
