/** How a tensor of any rank lies on the screen: maps of rows and columns, one for each channel. */
import { dimensions } from "./engine/shapes.js";

/**
 * @typedef {object} Layout
 * @property {number} rows
 * @property {number} columns
 * @property {number} channels
 * @property {number} size of all elements; in a list, the last row may be shorter
 * @property {(row: number, column: number, channel: number) => number} index -1 beyond the end
 * @property {(index: number) => [number, number, number]} place the way back
 * @property {(index: number) => number[]} coordinates as in an address: without the batch
 * @property {(coordinates: number[]) => number} at the index there, -1 where there is none
 */

/**
 * @param {number[]} shape with the batch first, of which the first sample is shown
 * @returns {Layout}
 */
export function layoutOf(shape) {
  const sample = shape.length > 1 ? shape.slice(1) : shape;
  const { size, places, index } = dimensions(sample);
  const at = (coordinates) => (
    coordinates.length === sample.length && coordinates.every((n, axis) => n < sample[axis])
      ? index(coordinates) : -1
  );
  const common = { size, coordinates: places, at };
  return sample.length === 3 ? { ...image(sample), ...common } : { ...list(size), ...common };
}

function image([rows, columns, channels]) {
  return {
    rows,
    columns,
    channels,
    index: (row, column, channel) => (row * columns + column) * channels + channel,
    place: (i) => [
      Math.floor(i / (columns * channels)), Math.floor(i / channels) % columns, i % channels,
    ],
  };
}

/** Numbers without a place in an image, in rows that one can count. */
function list(size) {
  const columns = [10, 8, 16, 32].find((n) => size <= n || (size % n === 0 && size <= n * n)) ?? 32;
  return {
    rows: Math.ceil(size / columns),
    columns: Math.min(size, columns),
    channels: 1,
    index: (row, column) => (row * columns + column < size ? row * columns + column : -1),
    place: (i) => [Math.floor(i / columns), i % columns, 0],
  };
}
