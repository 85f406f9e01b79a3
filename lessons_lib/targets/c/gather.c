/* From each of ``tables``, which have ``length`` pieces of ``size`` bytes, the n pieces whose places
   stand in ``places``, 4 bytes each. Returns 1 where there is no such place, as a wrong token is. */
static int gather(const void *table, const void *places, void *y, int tables, int length, int n,
                  int size) {
  const int8_t *pieces = table, *numbers = places;
  int8_t *target = y;
  for (int row = 0; row < tables; row++, pieces += length * size)
    for (int i = 0; i < n; i++, target += size) {
      int32_t place;
      copy(numbers + 4 * i, &place, 4);
      if (place < 0 || place >= length) return 1;
      copy(pieces + place * size, target, size);
    }
  return 0;
}
