/* Copies what one position of the filter sees; ``border`` stands for 0 outside the image. */
static void see(const int8_t *x, int8_t *patch, int row, int column, int border, const window *v) {
  int n = v->filter[1] * v->channels;
  for (int i = 0; i < v->filter[0]; i++) {
    int r = row + i * v->dilation[0];
    if (v->dilation[1] == 1 && is_inside(v, 0, r) && column >= 0 &&
        column + v->filter[1] <= v->in[1]) { /* the usual case: a whole row at once */
      copy(x + (r * v->in[1] + column) * v->channels, patch, n);
      patch += n;
      continue;
    }
    for (int j = 0; j < v->filter[1]; j++, patch += v->channels) {
      int c = column + j * v->dilation[1];
      if (is_inside(v, 0, r) && is_inside(v, 1, c))
        copy(x + (r * v->in[1] + c) * v->channels, patch, v->channels);
      else
        fill(patch, border, v->channels);
    }
  }
}

/* What multiplies n codes by m rows of weights: rows_of_weights, or rows_of_nibbles. */
typedef void rows_function(const int8_t *x, int8_t *y, int n, int m, const layer *l);

/* x: an image of ``channels`` channels, y: one of m; the weights: m filters of n, zeros at the end
   to make n a multiple of 4 or 8. ``patch`` has room for the n codes that a filter sees. */
static void conv_2d(const int8_t *x, int8_t *y, int8_t *patch, int border, int n, int m,
                    rows_function *rows, const window *v, const layer *l) {
  for (int row = 0; row < v->out[0]; row++)
    for (int column = 0; column < v->out[1]; column++, y += m) {
      see(x, patch, first_of(v, 0, row), first_of(v, 1, column), border, v);
      rows(patch, y, n, m, l);
    }
}
