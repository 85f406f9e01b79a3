static void fill(void *to, int code, int n) {
  uint8_t *target = to;
  for (int i = 0; i < n; i++) target[i] = (uint8_t)code;
}
