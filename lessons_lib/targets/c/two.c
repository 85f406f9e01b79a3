/* Two inputs of different scales; one may be spread over the other by a walk with steps of 0. */
typedef struct {
  int32_t zero_point, multiplier;
  int shift;
} scaling;
