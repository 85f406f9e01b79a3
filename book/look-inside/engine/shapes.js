/** Operators that move codes: nothing is rounded. And how places in an array are counted. */
import { refusal, sameCodes } from "./graph.js";

/**
 * @param {number[]} shape
 * @returns {{size: number, places: (i: number) => number[], index: (places: number[]) => number}}
 * the number of elements, the coordinates of the i-th, and the way back
 */
export function dimensions(shape) {
  const size = shape.reduce((product, n) => product * n, 1);
  const places = (i) => {
    let rest = i;
    const found = new Array(shape.length);
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      found[axis] = rest % shape[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    return found;
  };
  const index = (coordinates) => coordinates.reduce((sum, n, axis) => sum * shape[axis] + n, 0);
  return { size, places, index };
}

/**
 * Two shapes spread over each other, as NumPy does it.
 *
 * @returns {{shape: number[], pairs: (join: (i: number, j: number) => number) => Int32Array,
 * sources: (place: number) => [number, number]}}
 */
export function broadcast(op, first, second) {
  const rank = Math.max(first.length, second.length);
  const [a, b] = [first, second].map((shape) => [...Array(rank - shape.length).fill(1), ...shape]);
  if (a.some((n, axis) => n !== b[axis] && n !== 1 && b[axis] !== 1)) {
    throw refusal(op, `takes shapes that do not fit, ${first} and ${second}`);
  }
  const shape = a.map((n, axis) => Math.max(n, b[axis]));
  const { size, places } = dimensions(shape);
  const within = (sides) => {
    const { index } = dimensions(sides);
    return (at) => index(at.map((n, axis) => (sides[axis] === 1 ? 0 : n)));
  };
  const [inFirst, inSecond] = [within(a), within(b)];
  const sources = (place) => [inFirst(places(place)), inSecond(places(place))];
  const pairs = (join) => Int32Array.from({ length: size }, (_, place) => join(...sources(place)));
  return { shape, pairs, sources };
}

/** RESHAPE, SQUEEZE and EXPAND_DIMS: the file says what shape results. */
export function reshape(op, x) {
  const { shape } = op.output;
  if (dimensions(shape).size !== x.data.length) {
    throw refusal(op, `brings the shape ${x.shape} to ${shape}`);
  }
  return { shape, data: x.data };
}

/** PAD: what is added stands for 0. */
export function pad(op, x) {
  const { shape, from } = padding(op, x.shape);
  const { size } = dimensions(shape);
  const data = Int32Array.from({ length: size }, (_, place) => {
    const source = from(place);
    return source < 0 ? op.output.zeroPoint : x.data[source];
  });
  return { shape, data };
}

/** @returns {{shape: number[], from: (place: number) => number}} -1 for what is added */
export function padding(op, sides) {
  const amounts = op.inputs[1].value;
  const shape = sides.map((n, axis) => n + amounts[2 * axis] + amounts[2 * axis + 1]);
  const { places } = dimensions(shape);
  const { index } = dimensions(sides);
  const from = (place) => {
    const at = places(place).map((n, axis) => n - amounts[2 * axis]);
    return at.every((n, axis) => n >= 0 && n < sides[axis]) ? index(at) : -1;
  };
  return { shape, from };
}

/** CONCATENATION: all scales are the same, so codes are copied. */
export function concatenation(op, ...parts) {
  if (!op.inputs.every((tensor) => sameCodes(tensor, op.output))) {
    throw refusal(op, "takes tensors with different scales or zero points");
  }
  const { shape, from } = joining(op, parts.map((part) => part.shape));
  const data = Int32Array.from({ length: dimensions(shape).size }, (_, place) => {
    const { part, index } = from(place);
    return op.clip(parts[part].data[index]);
  });
  return { shape, data };
}

/** @returns {{shape: number[], from: (place: number) => {part: number, index: number}}} */
export function joining(op, shapes) {
  const rank = shapes[0].length;
  const axis = (op.options.axis + rank) % rank;
  const lengths = shapes.map((shape) => shape[axis]);
  const shape = shapes[0].with(axis, lengths.reduce((sum, n) => sum + n));
  const { places } = dimensions(shape);
  const from = (place) => {
    const at = places(place);
    let part = 0;
    while (at[axis] >= lengths[part]) {
      at[axis] -= lengths[part];
      part += 1;
    }
    return { part, index: dimensions(shapes[part]).index(at) };
  };
  return { shape, from };
}
