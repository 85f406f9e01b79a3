/**
 * Operators with weights: sums of products, exact in every runtime, then rescaled. A sum is kept in
 * 32 bits, as the runtimes do.
 */
import { centered } from "./graph.js";
import { rescaled } from "./rescaling.js";
import { eachWindow, windows } from "./windows.js";

/** CONV_2D: `kernel` (out, height, width, in). */
export function conv2d(op, x) {
  const [filters, high, wide, depth] = op.inputs[1].shape;
  const [images, height, width] = x.shape;
  const steps = centered(op.input, x.data);
  const seen = windows(op, x.shape, [high, wide]);
  const sums = new Int32Array(images * seen.rows * seen.columns * filters);
  let place = 0;
  for (const { image, taps } of eachWindow(seen, images)) {
    for (let filter = 0; filter < filters; filter += 1) {
      let sum = 0;
      for (const { tap, y, x: column } of taps) { // padding stands for 0, and adds nothing
        const from = ((image * height + y) * width + column) * depth;
        const to = (filter * high * wide + tap) * depth;
        for (let k = 0; k < depth; k += 1) sum += steps[from + k] * op.weights[to + k];
      }
      sums[place] = sum;
      place += 1;
    }
  }
  return finished(op, sums, [images, seen.rows, seen.columns, filters]);
}

/** DEPTHWISE_CONV_2D: `kernel` (1, height, width, channels * depth multiplier). */
export function depthwiseConv2d(op, x) {
  const [, high, wide, filters] = op.inputs[1].shape;
  const [images, height, width, channels] = x.shape;
  const times = filters / channels;
  const steps = centered(op.input, x.data);
  const seen = windows(op, x.shape, [high, wide]);
  const sums = new Int32Array(images * seen.rows * seen.columns * filters);
  let start = 0;
  for (const { image, taps } of eachWindow(seen, images)) {
    for (const { tap, y, x: column } of taps) {
      const from = ((image * height + y) * width + column) * channels;
      for (let filter = 0; filter < filters; filter += 1) {
        const step = steps[from + Math.floor(filter / times)];
        sums[start + filter] += step * op.weights[tap * filters + filter];
      }
    }
    start += filters;
  }
  return finished(op, sums, [images, seen.rows, seen.columns, filters]);
}

/** FULLY_CONNECTED: `kernel` (out, in). */
export function fullyConnected(op, x) {
  const [units, length] = op.inputs[1].shape;
  const steps = centered(op.input, x.data);
  const rows = x.data.length / length;
  const sums = Int32Array.from({ length: rows * units }, (_, place) => {
    const [from, to] = [Math.floor(place / units) * length, (place % units) * length];
    let sum = 0;
    for (let k = 0; k < length; k += 1) sum += steps[from + k] * op.weights[to + k];
    return sum;
  });
  return finished(op, sums, op.output.shape);
}

/** Add the bias, and bring the sums to codes. */
function finished(op, sums, shape) {
  const channels = shape.at(-1);
  if (op.bias) sums.forEach((sum, i) => { sums[i] = sum + op.bias.value[i % channels]; });
  return { shape, data: rescaled(op, sums, channels) };
}
