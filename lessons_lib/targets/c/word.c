#if defined(__ARM_FEATURE_DSP) /* a Cortex-M4 multiplies two pairs of 16 bits at once */
#include <arm_acle.h>

static uint32_t four(const int8_t *codes) { /* four codes are one word of the memory */
  uint32_t word;
  __builtin_memcpy(&word, codes, 4);
  return word;
}
#endif
