/* Each channel has filters of its own, m / channels of them; the bias is the file's own here. */
static void depthwise_conv_2d(const int8_t *x, int8_t *y, int zero_point, int m, const window *v,
                              const layer *l) {
  int each = m / v->channels;
  for (int row = 0; row < v->out[0]; row++)
    for (int column = 0; column < v->out[1]; column++)
      for (int o = 0; o < m; o++) {
        const int8_t *channel = x + o / each;
        int top = first_of(v, 0, row), side = first_of(v, 1, column);
        int32_t sum = l->bias[o];
        for (int i = 0; i < v->filter[0]; i++)
          for (int j = 0; j < v->filter[1]; j++) {
            int r = top + i * v->dilation[0], c = side + j * v->dilation[1];
            if (is_inside(v, 0, r) && is_inside(v, 1, c))
              sum += (channel[(r * v->in[1] + c) * v->channels] - zero_point) *
                     l->weights[(i * v->filter[1] + j) * m + o];
          }
        *y++ = finished(l, o, sum);
      }
}
