/** Operators that take each element by itself, or two of them. */
import { roundHalfAway } from "../../try-it/affine.js";
import { modelError } from "../../try-it/errors.js";
import {
  doubleRounding, highMultiply, multiplierShift, roundHalfEven, shiftTiesUp, splitFloat,
} from "./fixed-point.js";
import { centered, refusal } from "./graph.js";
import { filled, rescaled } from "./rescaling.js";
import { broadcast } from "./shapes.js";

const f32 = Math.fround;

// ---- one element

/** RELU, RELU6, RELU_N1_TO_1 on their own: rescale, and clip. */
export function relu(op, x) {
  if (op.kernels !== "tflm" || op.name === "RELU") {
    return { shape: x.shape, data: rescaled(op, centered(op.input, x.data)) };
  }
  if (op.name === "RELU_N1_TO_1") {
    throw modelError("TFLite-Micro has no RELU_N1_TO_1; the other kernels do (lesson 9).");
  }
  const { scale, zeroPoint } = op.input; // TFLite-Micro's RELU6 takes both scales for the same
  const most = zeroPoint + roundHalfAway(f32(6 / scale[0]));
  return { shape: x.shape, data: x.data.map((code) => Math.max(zeroPoint, Math.min(most, code))) };
}

/** QUANTIZE from integers to integers: another scale, another zero point; or from floats. */
export function quantize(op, x) {
  return { shape: x.shape, data: quantized(op, x.data) };
}

function quantized(op, values) {
  if (op.input.dtype === "float32") return quantizedFloats(op, values);
  const steps = centered(op.input, values);
  if (!op.byXnnpack) return rescaled(op, steps);
  const factor = xnnpackFactor(op);
  return steps.map((step) => op.clip(shiftTiesUp(step * factor, 8) + op.output.zeroPoint));
}

/** The ratio of scales with 8 bits behind the point. */
export const xnnpackFactor = (op) => roundHalfEven(f32(256 * op.float32Ratios[0]));

/** A division, or in vectors a product with 1 / scale; its ties go to even only there. */
function quantizedFloats(op, values) {
  const { scale: [scale], zeroPoint } = op.output;
  const inverse = f32(1 / scale);
  const whole = op.byXnnpack ? Infinity : op.fast ? filled(8, values.length) : 0;
  const divided = op.fast ? (x) => x / scale : (x) => f32(x / scale);
  return Int32Array.from(values, (x, i) => {
    const steps = i < whole ? roundHalfEven(f32(x * inverse)) : roundHalfAway(divided(x));
    return op.clip(steps + zeroPoint);
  });
}

/** DEQUANTIZE: the one operator that gives floats. */
export function dequantize(op, x) {
  const { scale: [scale], zeroPoint } = op.input;
  const whole = op.kernels === "builtin" ? filled(8, x.data.length) : 0;
  const fused = (code) => f32(f32(code * scale) + f32(-zeroPoint * scale)); // two are rounded
  const data = Float32Array.from(x.data, (code, i) => (
    i < whole ? fused(code) : f32((code - zeroPoint) * scale)
  ));
  return { shape: x.shape, data };
}

// ---- two elements

/** ADD, with codes of two scales; in whole vectors LiteRT's fast kernels round otherwise. */
export function add(op, a, b) {
  const sums = ofTwo(op, a, b, sumRule(op, finer));
  if (!op.fast || op.byXnnpack) return sums;
  const others = ofTwo(op, a, b, sumRule(op, finerInVectors));
  const differ = sums.data.some((code, i) => code !== others.data[i]);
  if (differ && spreads(a, b)) {
    throw refusal(op, "spreads one side over the other and rounds some sums otherwise in vectors");
  }
  const whole = inVectors(op, sums.data.length);
  const data = sums.data.map((code, i) => (i < whole ? others.data[i] : code));
  return { shape: sums.shape, data };
}

const inVectors = (op, size) => filled(op.input.dtype === "uint8" ? 8 : 16, size);

/** The rule of ADD or SUB for one element of an output of `size`. */
export function sumRuleAt(op, element, size) {
  const vector = op.name === "ADD" && op.fast && !op.byXnnpack && element < inVectors(op, size);
  return sumRule(op, vector ? finerInVectors : finer);
}

/** Whether one side is spread over the other; leading ones do not count. */
function spreads(a, b) {
  const plain = ({ shape }) => String(shape.slice(shape.findIndex((n) => n !== 1)));
  return plain(a) !== plain(b);
}

/** SUB, with codes of two scales. */
export function sub(op, a, b) {
  return ofTwo(op, a, b, sumRule(op, finer));
}

/** MUL: the scale of the product is the product of the scales. */
export function mul(op, a, b) {
  return ofTwo(op, a, b, productRule(op));
}

function ofTwo(op, a, b, rule) {
  if (op.inputs.some(({ dtype }) => dtype !== op.output.dtype)) {
    throw refusal(op, `takes ${op.inputs.map(({ dtype }) => dtype).join(" and ")}`);
  }
  const [first, second] = [centered(op.inputs[0], a.data), centered(op.inputs[1], b.data)];
  const { shape, pairs } = broadcast(op, a.shape, b.shape);
  const { zeroPoint } = op.output;
  return { shape, data: pairs((i, j) => op.clip(rule(first[i], second[j]) + zeroPoint)) };
}

/** Both inputs are brought to one scale with 20 more bits, added, and rescaled; SUB as well. */
function sumRule(op, refine) {
  const sign = op.name === "SUB" ? -1 : 1;
  if (op.byXnnpack) return sumRuleXnnpack(op, sign);
  const scales = op.inputs.map(({ scale }) => scale[0]);
  const twice = 2 * Math.max(...scales);
  const [first, second] = scales.map((scale) => multiplierShift(scale / twice));
  const last = multiplierShift(twice / (2 ** 20 * op.output.scale[0]));
  return (a, b) => {
    const sum = refine(op, a, first) + sign * refine(op, b, second);
    return doubleRounding(sum, last.multiplier, last.shift);
  };
}

function finer(_, steps, { multiplier, shift }) {
  return doubleRounding(steps * 2 ** 20, multiplier, shift);
}

/** One shift for both, before the product is rounded; beside uint8 the second one cuts off. */
function finerInVectors(op, steps, { multiplier, shift }) {
  if (op.input.dtype === "uint8") {
    return Math.floor(highMultiply(steps * 2 ** 20, multiplier) / 2 ** -shift);
  }
  return highMultiply(Math.floor(steps * 2 ** (20 + shift)), multiplier);
}

/** 21 bits for the larger factor, rounded once, ties up. */
function sumRuleXnnpack(op, sign) {
  const factors = op.inputs.map(({ scale }) => f32(scale[0] / op.output.scale[0]));
  const shift = 21 - splitFloat(Math.max(...factors))[1];
  const [first, second] = factors.map((factor) => roundHalfEven(factor * 2 ** shift));
  return (a, b) => shiftTiesUp(a * first + sign * b * second, shift);
}

export function productRule(op) {
  const round = op.kernels === "tflm" ? (x) => x : f32;
  const [first, second, last] = [...op.inputs, op.output].map(({ scale }) => scale[0]);
  const ratio = round(round(first * second) / last);
  if (op.byXnnpack) return (a, b) => roundHalfEven(f32(f32(a * b) * ratio));
  const { multiplier, shift } = multiplierShift(ratio);
  return (a, b) => doubleRounding(a * b, multiplier, shift);
}
