/** MEAN: one number of many. */
import { roundHalfAway } from "../../try-it/affine.js";
import { doubleRounding, multiplierShift, roundHalfEven } from "./fixed-point.js";
import { filled } from "./rescaling.js";
import { dimensions } from "./shapes.js";

const f32 = Math.fround;

/** MEAN: the division by the number of elements becomes part of the multiplier. */
export function mean(op, x) {
  const { shape, count, target } = reduction(op, x.shape);
  const sums = new Int32Array(x.data.length / count);
  x.data.forEach((code, i) => { sums[target(i)] += code; });
  const rule = meanRule(op, x.shape, count);
  return { shape, data: sums.map((sum, i) => op.clip(rule(sum, i % shape.at(-1)))) };
}

/**
 * @returns {{shape: number[], count: number, target: (i: number) => number}} the result's shape,
 * how many elements become one, and where the i-th goes
 */
export function reduction(op, shape) {
  const axes = axesOf(op, shape);
  const kept = shape.map((n, axis) => (axes.has(axis) ? 1 : n));
  const count = shape.reduce((product, n, axis) => (axes.has(axis) ? product * n : product), 1);
  const { places } = dimensions(shape);
  const reduced = dimensions(kept);
  const target = (i) => reduced.index(places(i).map((n, axis) => (axes.has(axis) ? 0 : n)));
  const dropped = kept.filter((_, axis) => !axes.has(axis));
  const result = op.options.keepDims ? kept : dropped;
  return { shape: result.length ? result : [1], count, target };
}

const axesOf = (op, { length }) => (
  new Set(Array.from(op.inputs[1].value, (axis) => (axis + length) % length))
);

/** @returns {(sum: number, channel: number) => number} a sum of codes to a code, not clipped */
export function meanRule(op, shape, count) {
  if (op.byXnnpack) return ruleXnnpack(op, count);
  const axes = String([...axesOf(op, shape)].sort());
  if (op.kernels === "builtin" && op.options.keepDims && axes === "1,2" && shape.length === 4) {
    return ruleBuiltin(op, shape.at(-1), count);
  }
  const [{ multiplier, shift }] = op.multipliers;
  const bits = Math.min(31 - Math.clz32(count), 31 + shift);
  const divided = Number((BigInt(multiplier) << BigInt(bits)) / BigInt(count));
  const { input, output } = op;
  return (sum) => (
    doubleRounding(sum - input.zeroPoint * count, divided, shift - bits) + output.zeroPoint
  );
}

/** In float32; the zero points become one offset, and are part of what is rounded. */
function ruleXnnpack(op, count) {
  const ratio = f32(op.float32Ratios[0] * f32(1 / count));
  const offset = f32(op.output.zeroPoint - f32(f32(op.input.zeroPoint * count) * ratio));
  return (sum) => roundHalfEven(f32(f32(f32(sum) * ratio) + offset));
}

/** The zero points become one bias; vectors of 16 channels round otherwise than the rest. */
function ruleBuiltin(op, channels, count) {
  const [scale, outputScale] = [op.input.scale[0], op.output.scale[0]];
  const offset = roundHalfAway(f32(f32(op.input.zeroPoint * scale) / outputScale));
  const { multiplier, shift } = multiplierShift(f32(scale / f32(count * outputScale)));
  const whole = filled(16, channels);
  return (sum, channel) => (
    doubleRounding(sum, multiplier, shift, channel < whole) + op.output.zeroPoint - offset
  );
}
