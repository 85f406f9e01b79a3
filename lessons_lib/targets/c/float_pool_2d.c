/* The largest number in each window, or the mean, without its padding. */
static void float_pool_2d(const float *x, float *y, int is_mean, float low, float high,
                          const window *v) {
  for (int row = 0; row < v->out[0]; row++)
    for (int column = 0; column < v->out[1]; column++)
      for (int channel = 0; channel < v->channels; channel++) {
        float sum = 0, most = low;
        int count = 0;
        for (int i = 0; i < v->filter[0]; i++)
          for (int j = 0; j < v->filter[1]; j++) {
            int r = first_of(v, 0, row) + i, c = first_of(v, 1, column) + j;
            if (!is_inside(v, 0, r) || !is_inside(v, 1, c)) continue;
            float value = x[(r * v->in[1] + c) * v->channels + channel];
            if (value > most) most = value;
            if (is_mean) sum += value;
            count++;
          }
        *y++ = clipped_float(is_mean ? sum / (float)count : most, low, high);
      }
}
