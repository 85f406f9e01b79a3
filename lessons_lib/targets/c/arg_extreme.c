/* ARG_MAX (sign 1) and ARG_MIN (sign -1): the place of the first extreme of n codes that are
   ``apart`` places from each other; there are ``rows`` times ``apart`` of them. y has 4 bytes each,
   and is filled byte by byte, because the arena promises no more. */
static void arg_extreme(const int8_t *x, int8_t *y, int rows, int n, int apart, int sign) {
  for (int row = 0; row < rows; row++, x += n * apart)
    for (int k = 0; k < apart; k++, y += 4) {
      int32_t best = 0;
      for (int i = 1; i < n; i++)
        if (sign * x[i * apart + k] > sign * x[best * apart + k]) best = i;
      copy(&best, y, 4);
    }
}
