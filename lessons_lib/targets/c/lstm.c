/* What a gate adds up: of the input and of the hidden state, each with weights (cells, n), a bias
   that holds the zero point, and the way to steps of 2^-12. */
typedef struct {
  const int8_t *weights;
  const int32_t *bias;
  int32_t multiplier;
  int shift;
} part_of_gate;

typedef struct {
  part_of_gate x, hidden;
} gate;

static int32_t clipped_16(int32_t x) {
  return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

static int32_t sum_of(const part_of_gate *part, const int8_t *x, int n, int cell) {
  int32_t sum = part->bias[cell];
  for (int i = 0; i < n; i++) sum += x[i] * part->weights[cell * n + i];
  return clipped_16(rescaled(sum, part->multiplier, part->shift));
}

/* For the curves, in which 3 steps of 2^-12 are one; before the first step nothing is hidden. */
static int32_t gated(const gate *g, const int8_t *x, int n, const int8_t *hidden, int cells,
                     int cell) {
  int32_t sum = sum_of(&g->x, x, n, cell);
  return 3 * clipped_16(hidden ? sum + sum_of(&g->hidden, hidden, cells, cell) : sum);
}

/* x * 2^shift, ties up. */
static int32_t shifted(int32_t x, int shift) {
  return shift >= 0 ? x * (1 << shift) : (x + (1 << (-shift - 1))) >> -shift;
}

/* An LSTM over a sequence, its gates: input, forget, cell, output. The cells have 16 bits and begin
   at 0 in each call, as the hidden state does, which is the output of the step before. */
static void lstm(const int8_t *x, int8_t *y, int steps, int n, int cells, const gate *gates,
                 int16_t *cell, int shift, int32_t most, const scaling *of_cell,
                 const scaling *of_y) {
  const int8_t *hidden = 0;
  for (int i = 0; i < cells; i++) cell[i] = 0;
  for (int step = 0; step < steps; step++, x += n, hidden = y, y += cells)
    for (int i = 0; i < cells; i++) {
      int32_t input = sigmoid_16(gated(&gates[0], x, n, hidden, cells, i));
      int32_t forget = sigmoid_16(gated(&gates[1], x, n, hidden, cells, i));
      int32_t fresh = tanh_16(gated(&gates[2], x, n, hidden, cells, i));
      int32_t output = sigmoid_16(gated(&gates[3], x, n, hidden, cells, i));
      int32_t kept = clipped_16(rescaled(forget * cell[i], 1 << 30, -14)); /* the product / 2^15 */
      int32_t added = clipped_16(rescaled(input * fresh, of_cell->multiplier, of_cell->shift));
      int32_t state = clipped_16(kept + added);
      cell[i] = (int16_t)(state < -most ? -most : state > most ? most : state);
      int32_t product = tanh_16(shifted(3 * cell[i], shift)) * output;
      int32_t code = rescaled(product, of_y->multiplier, of_y->shift);
      y[i] = clipped(code + of_y->zero_point, INT8_MIN, INT8_MAX);
    }
}
