/* An image of another size: the mean of four pixels, by how near they are. For each row and each
   column there are the pixels before and after it, and how near the second is, in 1,024ths. */
static void resize_bilinear(const int8_t *x, int8_t *y, int width, int rows, int columns,
                            int channels, const int16_t *by_row, const int16_t *by_column) {
  for (int row = 0; row < rows; row++)
    for (int column = 0; column < columns; column++)
      for (int k = 0; k < channels; k++) {
        int32_t sides[2]; /* above and below, already between two columns */
        for (int side = 0; side < 2; side++) {
          const int8_t *line = x + by_row[3 * row + side] * width * channels + k;
          int32_t left = line[by_column[3 * column] * channels];
          int32_t right = line[by_column[3 * column + 1] * channels];
          sides[side] = left * 1024 + (right - left) * by_column[3 * column + 2];
        }
        int32_t sum = sides[0] * 1024 + (sides[1] - sides[0]) * by_row[3 * row + 2];
        *y++ = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
      }
}
