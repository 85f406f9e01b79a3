/* Which weights of a filter lie over the image along an axis: from ``first`` to before ``end``. */
typedef struct {
  int first, end;
} taps;

static taps inside(const window *v, int axis, int place) {
  taps t = {0, v->filter[axis]};
  while (t.first < t.end && !is_inside(v, axis, place + t.first * v->dilation[axis])) t.first++;
  while (t.first < t.end && !is_inside(v, axis, place + (t.end - 1) * v->dilation[axis])) t.end--;
  return t;
}
