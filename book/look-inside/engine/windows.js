/** How a filter or a pool moves over images, and the two pools. */
import { roundHalfAway } from "../../try-it/affine.js";
import { refusal } from "./graph.js";
import { SAME } from "./schema.js";

/**
 * The windows of an operator, one for each row and column of its output.
 *
 * @typedef {object} Windows
 * @property {number} rows
 * @property {number} columns
 * @property {number} top rows of padding above; negative places of a tap lie in it
 * @property {number} left
 * @property {(row: number, column: number) => Tap[]} taps what the window sees inside of the image
 *
 * @typedef {object} Tap
 * @property {number} tap the place in the window, row by row
 * @property {number} y the row in the image
 * @property {number} x the column in the image
 */

/**
 * @param {object} op with options
 * @param {number[]} shape of the images (N, height, width, channels)
 * @param {[number, number]} size of the window
 * @returns {Windows}
 */
export function windows(op, shape, [high, wide]) {
  const { padding, strideH, strideW, dilationH = 1, dilationW = 1 } = op.options;
  const down = along(shape[1], (high - 1) * dilationH + 1, strideH, padding);
  const across = along(shape[2], (wide - 1) * dilationW + 1, strideW, padding);
  if (!(down.count > 0 && across.count > 0)) throw refusal(op, "has a window beyond its image");
  const taps = (row, column) => {
    const found = [];
    for (let tap = 0; tap < high * wide; tap += 1) {
      const y = row * strideH - down.before + Math.floor(tap / wide) * dilationH;
      const x = column * strideW - across.before + (tap % wide) * dilationW;
      if (y >= 0 && y < shape[1] && x >= 0 && x < shape[2]) found.push({ tap, y, x });
    }
    return found;
  };
  return { rows: down.count, columns: across.count, top: down.before, left: across.before, taps };
}

/** SAME: as many windows as steps fit into the length; what is missing is added, more behind. */
function along(length, span, stride, padding) {
  if (padding !== SAME) return { count: Math.floor((length - span) / stride) + 1, before: 0 };
  const count = Math.ceil(length / stride);
  return { count, before: Math.floor(Math.max((count - 1) * stride + span - length, 0) / 2) };
}

/** Every window of every image: (image, taps) in the order of the output. */
export function* eachWindow(seen, images) {
  for (let image = 0; image < images; image += 1) {
    for (let row = 0; row < seen.rows; row += 1) {
      for (let column = 0; column < seen.columns; column += 1) {
        yield { image, taps: seen.taps(row, column) };
      }
    }
  }
}

/** MAX_POOL_2D: both sides have one scale, so codes are compared as they are. */
export function maxPool2d(op, x) {
  return pooled(op, x, (codes) => codes.reduce((a, b) => Math.max(a, b)));
}

/** AVERAGE_POOL_2D: padding does not count; the quotient is rounded half away from zero. */
export function averagePool2d(op, x) {
  return pooled(op, x, (codes) => roundHalfAway(codes.reduce((a, b) => a + b) / codes.length));
}

function pooled(op, x, join) {
  const [images, height, width, channels] = x.shape;
  const seen = windows(op, x.shape, [op.options.filterH, op.options.filterW]);
  const data = new Int32Array(images * seen.rows * seen.columns * channels);
  let place = 0;
  for (const { image, taps } of eachWindow(seen, images)) {
    const starts = taps.map((tap) => ((image * height + tap.y) * width + tap.x) * channels);
    for (let channel = 0; channel < channels; channel += 1) {
      data[place] = op.clip(join(starts.map((start) => x.data[start + channel])));
      place += 1;
    }
  }
  return { shape: [images, seen.rows, seen.columns, channels], data };
}
