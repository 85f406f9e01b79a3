/* Each pixel of x is spread over a window of y. Seen from y: a weight reaches a place from the
   pixel that lies whole strides away, if there is one; the bias is the file's own here. */
static void transpose_conv(const int8_t *x, int8_t *y, int zero_point, int m, const window *v,
                           const layer *l) {
  for (int row = 0; row < v->out[0]; row++)
    for (int column = 0; column < v->out[1]; column++)
      for (int o = 0; o < m; o++) {
        int32_t sum = l->bias[o];
        for (int i = 0; i < v->filter[0]; i++)
          for (int j = 0; j < v->filter[1]; j++) {
            int down = row + v->before[0] - i, across = column + v->before[1] - j;
            if (down % v->stride[0] || across % v->stride[1]) continue;
            int r = down / v->stride[0], c = across / v->stride[1];
            if (!is_inside(v, 0, r) || !is_inside(v, 1, c)) continue;
            const int8_t *pixel = x + (r * v->in[1] + c) * v->channels;
            const int8_t *weights =
                l->weights + ((o * v->filter[0] + i) * v->filter[1] + j) * v->channels;
            for (int k = 0; k < v->channels; k++) sum += (pixel[k] - zero_point) * weights[k];
          }
        *y++ = finished(l, o, sum);
      }
}
