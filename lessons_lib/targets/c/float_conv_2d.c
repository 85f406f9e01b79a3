/* m filters, each over all channels of what it sees; outside the image is nothing to add. */
static void float_conv_2d(const float *x, float *y, int m, const window *v, const float_layer *l) {
  int n = v->channels, taps = v->filter[0] * v->filter[1];
  for (int row = 0; row < v->out[0]; row++)
    for (int column = 0; column < v->out[1]; column++)
      for (int o = 0; o < m; o++) {
        float sum = l->bias[o];
        for (int tap = 0; tap < taps; tap++) {
          int r = first_of(v, 0, row) + tap / v->filter[1] * v->dilation[0];
          int c = first_of(v, 1, column) + tap % v->filter[1] * v->dilation[1];
          if (!is_inside(v, 0, r) || !is_inside(v, 1, c)) continue;
          const float *pixel = x + (r * v->in[1] + c) * n, *w = l->weights + (o * taps + tap) * n;
          for (int k = 0; k < n; k++) sum += pixel[k] * w[k];
        }
        *y++ = clipped_float(sum, l->low, l->high);
      }
}
