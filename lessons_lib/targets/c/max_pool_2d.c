/* The largest code in each window, all channels side by side. */
static void max_pool_2d(const int8_t *x, int8_t *y, int low, int high, const window *v) {
  for (int row = 0; row < v->out[0]; row++)
    for (int column = 0; column < v->out[1]; column++, y += v->channels) {
      for (int k = 0; k < v->channels; k++) y[k] = (int8_t)low;
      for (int i = 0; i < v->filter[0]; i++)
        for (int j = 0; j < v->filter[1]; j++) {
          int r = first_of(v, 0, row) + i, c = first_of(v, 1, column) + j;
          if (!is_inside(v, 0, r) || !is_inside(v, 1, c)) continue;
          const int8_t *pixel = x + (r * v->in[1] + c) * v->channels;
          for (int k = 0; k < v->channels; k++)
            if (pixel[k] > y[k]) y[k] = pixel[k];
        }
      for (int k = 0; k < v->channels; k++)
        if (y[k] > high) y[k] = (int8_t)high;
    }
}
