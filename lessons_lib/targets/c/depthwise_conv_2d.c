/* Each channel has filters of its own, m / channels of them; the bias is the file's own here. */
static void depthwise_conv_2d(const int8_t *x, int8_t *y, int zero_point, int m, const window *v,
                              const layer *l) {
  int each = m / v->channels, right = v->dilation[1] * v->channels;
  for (int row = 0; row < v->out[0]; row++)
    for (int column = 0; column < v->out[1]; column++) {
      int top = first_of(v, 0, row), side = first_of(v, 1, column);
      taps rows = inside(v, 0, top), columns = inside(v, 1, side);
      for (int o = 0; o < m; o++) {
        int32_t sum = l->bias[o];
        for (int i = rows.first; i < rows.end; i++) {
          int corner = (top + i * v->dilation[0]) * v->in[1] + side;
          int code = corner * v->channels + columns.first * right + o / each;
          const int8_t *weight = l->weights + (i * v->filter[1] + columns.first) * m + o;
          for (int j = columns.first; j < columns.end; j++, code += right, weight += m)
            sum += (x[code] - zero_point) * *weight;
        }
        *y++ = finished(l, o, sum);
      }
    }
}
