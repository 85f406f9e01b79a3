/* Matrices side by side: where each of them begins, and how far apart its rows and columns are. */
typedef struct {
  walk begins;
  int row, column;
  int32_t zero_point;
} matrices;

/* n products of a matrix (rows, inner) by another one (inner, columns). */
static void batch_matmul(const int8_t *a, const int8_t *b, int8_t *y, int n, int rows, int inner,
                         int columns, const matrices *of_a, const matrices *of_b,
                         const scaling *of_y) {
  for (int i = 0; i < n; i++)
    for (int row = 0; row < rows; row++)
      for (int column = 0; column < columns; column++) {
        const int8_t *left = a + place(&of_a->begins, i) + row * of_a->row;
        const int8_t *right = b + place(&of_b->begins, i) + column * of_b->column;
        int32_t sum = 0;
        for (int k = 0; k < inner; k++)
          sum += (left[k * of_a->column] - of_a->zero_point) *
                 (right[k * of_b->row] - of_b->zero_point);
        int32_t code = rescaled(sum, of_y->multiplier, of_y->shift);
        *y++ = clipped(code + of_y->zero_point, INT8_MIN, INT8_MAX);
      }
}
