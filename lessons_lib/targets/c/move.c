/* Codes that only change their places. */
static void move(const void *x, void *y, int n, const walk *from, const walk *to) {
  const uint8_t *source = x;
  uint8_t *target = y;
  for (int i = 0; i < n; i++) target[place(to, i)] = source[place(from, i)];
}
