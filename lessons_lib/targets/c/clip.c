static int8_t clipped(int32_t code, int32_t low, int32_t high) {
  return (int8_t)(code < low ? low : code > high ? high : code);
}
