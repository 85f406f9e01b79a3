/* A walk through memory: ``size`` places along each of ``rank`` axes, ``step`` codes apart. */
typedef struct {
  int rank, size[6], step[6];
} walk;

static int place(const walk *w, int i) {
  int at = 0;
  for (int axis = w->rank - 1; axis > 0; i /= w->size[axis--]) at += i % w->size[axis] * w->step[axis];
  return at + i * w->step[0];
}
