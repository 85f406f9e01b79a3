/* How a filter or a pool moves over an image: all sizes are rows and columns. */
typedef struct {
  int in[2], out[2], filter[2], stride[2], dilation[2], before[2]; /* before: padding */
  int channels;                                                    /* of the input */
} window;

static int is_inside(const window *v, int axis, int place) {
  return place >= 0 && place < v->in[axis];
}
