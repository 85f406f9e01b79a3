/* x: rows of n codes; y: rows of m. */
static void fully_connected(const int8_t *x, int8_t *y, int rows, int n, int m, const layer *l) {
  for (int row = 0; row < rows; row++) rows_of_weights(x + row * n, y + row * m, n, m, l);
}
