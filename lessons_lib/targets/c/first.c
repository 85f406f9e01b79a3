/* The first place of a filter for the output place ``out`` along an axis; may lie outside. */
static int first_of(const window *v, int axis, int out) {
  return out * v->stride[axis] - v->before[axis];
}
