/* For the emulator: counts the instructions of each block that it begins, of 2 or of 4 bytes. */
#include <stdint.h>

typedef struct {
  const uint8_t *code;
  uint64_t size, count, start, end; /* start, end: of the last block */
  int32_t thumb;
} counter;

void begun(void *cpu, uint64_t address, uint32_t size, counter *c);
void begun(void *cpu, uint64_t address, uint32_t size, counter *c) {
  (void)cpu;
  c->start = address, c->end = address + size;
  while (address < c->end && address + 1 < c->size) {
    unsigned half = c->code[address] | (unsigned)c->code[address + 1] << 8;
    int is_long = c->thumb ? half >> 11 >= 0x1D : (half & 3) == 3;
    address += is_long ? 4 : 2;
    c->count++;
  }
}
