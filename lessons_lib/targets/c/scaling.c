/* From the codes of one scale to those of another. */
typedef struct {
  int32_t zero_point, multiplier;
  int shift;
} scaling;
