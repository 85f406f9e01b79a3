/* A filter bank over a stream. Each filter keeps its last ``moments`` answers, the newest one last;
   times weighs them, and ``rank`` filters make one unit of the output. Sums beyond 30 bits stand
   for codes far beyond the ends. */
static void svdf(const int8_t *x, int8_t *y, int n, int units, int rank, int moments,
                 const int8_t *weights, const int32_t *bias, const int16_t *times,
                 const int32_t *bias_of_unit, int16_t *state, const scaling *of_state,
                 const scaling *of_y) {
  for (int unit = 0, filter = 0; unit < units; unit++) {
    int64_t total = bias_of_unit[unit];
    for (int r = 0; r < rank; r++, filter++) {
      int16_t *kept = state + filter * moments;
      for (int moment = 0; moment + 1 < moments; moment++) kept[moment] = kept[moment + 1];
      int32_t sum = bias[filter];
      for (int i = 0; i < n; i++) sum += x[i] * weights[filter * n + i];
      sum = rescaled(sum, of_state->multiplier, of_state->shift);
      kept[moments - 1] = (int16_t)(sum < INT16_MIN ? INT16_MIN : sum > INT16_MAX ? INT16_MAX : sum);
      for (int moment = 0; moment < moments; moment++)
        total += kept[moment] * times[filter * moments + moment];
    }
    int32_t most = (1 << 30) - 1;
    int32_t sum = (int32_t)(total < -most ? -most : total > most ? most : total);
    int32_t code = rescaled(sum, of_y->multiplier, of_y->shift);
    y[unit] = clipped(code + of_y->zero_point, INT8_MIN, INT8_MAX);
  }
}
