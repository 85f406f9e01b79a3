/* An image of another size: each place takes the pixel of the row and column that is said. */
static void resize_nearest_neighbor(const void *x, void *y, int width, int rows, int columns,
                                    int channels, const int16_t *from_row,
                                    const int16_t *from_column) {
  const uint8_t *image = x;
  uint8_t *target = y;
  for (int row = 0; row < rows; row++)
    for (int column = 0; column < columns; column++, target += channels)
      copy(image + (from_row[row] * width + from_column[column]) * channels, target, channels);
}
