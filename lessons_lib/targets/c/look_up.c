/* An operator on single codes of 8 bits has 256 answers: here they are, in the order of the bytes. */
static void look_up(const void *x, void *y, int n, const uint8_t table[256]) {
  const uint8_t *from = x;
  uint8_t *to = y;
  for (int i = 0; i < n; i++) to[i] = table[from[i]];
}
