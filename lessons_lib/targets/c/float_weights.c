/* What a layer with weights has; without an activation ``low`` and ``high`` are the ends of float. */
typedef struct {
  const float *weights, *bias;
  float low, high;
} float_layer;
