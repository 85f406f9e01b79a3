static void copy(const void *from, void *to, int n) {
  const uint8_t *source = from;
  uint8_t *target = to;
  for (int i = 0; i < n; i++) target[i] = source[i];
}
