/**
 * From an accumulator back to a code: where the runtimes differ. Sums are exact everywhere, and
 * every runtime multiplies them by the same ratio of scales. How it rounds is its own.
 */
import { roundHalfAway } from "../../try-it/affine.js";
import { doubleRounding, roundHalfEven } from "./fixed-point.js";

const f32 = Math.fround;

/**
 * How an operator brings its sums to steps of its output's scale.
 *
 * @typedef {object} Rounding
 * @property {"float32" | "once" | "twice"} rule float32: one product in float32, ties to even.
 * once: one product in float64, ties away from zero. twice: multiplier and shift, each rounded
 * @property {(sum: number, channel: number, element: number) => number} steps whole steps of the
 * output's scale; `element` is the position in the whole output, of `size`
 * @property {(channel: number) => number} ratio the real number that a sum is multiplied by
 * @property {((channel: number) => {multiplier: number, shift: number})} [parts] where twice
 * @property {((channel: number, element: number) => boolean)} [up] where twice: are ties of the
 * second rounding sent up?
 */

/**
 * @param {import("./graph.js").Operator} op
 * @param {number} size of the output
 * @returns {Rounding}
 */
export function rounding(op, size) {
  if (op.byXnnpack && op.weighted) {
    const ratio = forChannel(op.float32Ratios);
    return {
      rule: "float32",
      ratio,
      steps: (sum, channel) => roundHalfEven(f32(f32(sum) * ratio(channel))),
    };
  }
  const ratio = forChannel(op.ratios);
  if (op.name === "FULLY_CONNECTED" && op.kernels === "reference") {
    return { rule: "once", ratio, steps: (sum, channel) => roundHalfAway(sum * ratio(channel)) };
  }
  return { ratio, ...twice(op, size) };
}

function twice(op, size) {
  const parts = forChannel(op.multipliers);
  const up = tiesUp(op, size);
  return {
    rule: "twice",
    parts,
    up,
    steps: (sum, channel, element) => {
      const { multiplier, shift } = parts(channel);
      return doubleRounding(sum, multiplier, shift, up(channel, element));
    },
  };
}

/** One number for all channels, or one for each. */
function forChannel(numbers) {
  return numbers.length === 1 ? () => numbers[0] : (channel) => numbers[channel];
}

/** Where the second rounding sends ties up: what ruy and the vector units compute. */
function tiesUp(op, size) {
  if (!op.fast) return () => false;
  if (op.name === "DEPTHWISE_CONV_2D") {
    const whole = filled(8, op.output.shape.at(-1));
    return (channel) => !op.asymmetric && channel < whole;
  }
  if (op.name === "QUANTIZE") {
    const whole = filled(16, size);
    return (_, element) => element < whole;
  }
  return () => op.name === "CONV_2D" || op.name === "FULLY_CONNECTED";
}

/** How many of `size` elements fill whole vectors; the rest is left over at the end. */
export const filled = (length, size) => Math.floor(size / length) * length;

/**
 * The way of every accumulator: rescale, add the zero point, clip.
 *
 * @param {import("./graph.js").Operator} op
 * @param {ArrayLike<number>} sums with the bias, in steps of input scale * weight scale
 * @param {number} channels the last axis of the output
 * @returns {Int32Array} codes
 */
export function rescaled(op, sums, channels = 1) {
  const { steps } = rounding(op, sums.length);
  const { zeroPoint } = op.output;
  return Int32Array.from(sums, (sum, i) => op.clip(steps(sum, i % channels, i) + zeroPoint));
}
