/* How a filter or a pool moves over an image: all sizes are rows and columns. */
typedef struct {
  int in[2], out[2], filter[2], stride[2], dilation[2], before[2]; /* before: padding */
  int channels;                                                    /* of the input */
} window;

/* The first place of a filter for the output place ``out`` along an axis; may lie outside. */
static int first_of(const window *v, int axis, int out) {
  return out * v->stride[axis] - v->before[axis];
}

static int is_inside(const window *v, int axis, int place) {
  return place >= 0 && place < v->in[axis];
}
