/* The fused activation: RELU is from 0 to the largest float. */
static float clipped_float(float value, float low, float high) {
  return value < low ? low : value > high ? high : value;
}
