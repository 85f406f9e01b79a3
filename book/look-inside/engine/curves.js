/**
 * LOGISTIC, TANH and SOFTMAX: LiteRT makes tables of floats for them, before the first image;
 * TFLite-Micro, and LiteRT's reference softmax, have fixed point throughout.
 */
import { roundHalfAway } from "../../try-it/affine.js";
import { LIMITS } from "./file.js";
import * as fixedPoint from "./fixed-point.js";
import {
  doubleRounding, expOfNegative, highMultiply, multiplierShift, reciprocalOfOnePlus, roundHalfEven,
  shiftTiesAway,
} from "./fixed-point.js";

const f32 = Math.fround;

/** LOGISTIC, the sigmoid: 1 / (1 + exp(-x)). */
export function logistic(op, x) {
  if (op.kernels === "tflm") {
    return lookedUp(op, x, (code) => inFixedPoint(op, code, fixedPoint.logistic, 8) - 128);
  }
  return lookedUp(op, x, (code) => byFloats(op, code, op.byXnnpack ? sigmoid64 : sigmoid32));
}

const sigmoid32 = (x) => f32(1 / f32(1 + f32(Math.exp(-x))));

function sigmoid64(x) {
  const power = Math.exp(Math.min(100, Math.max(-100, x)));
  return power / (1 + power);
}

/** TANH, the hyperbolic tangent. */
export function tanh(op, x) {
  if (op.kernels === "tflm") {
    return lookedUp(op, x, (code) => inFixedPoint(op, code, fixedPoint.tanh, 7));
  }
  return lookedUp(op, x, (code) => byFloats(op, code, Math.tanh));
}

/** The rule is computed once for all codes of the input's dtype, and looked up. */
function lookedUp(op, x, rule) {
  const [low, high] = LIMITS[op.input.dtype];
  const table = Int32Array.from({ length: high - low + 1 }, (_, i) => op.clip(rule(low + i)));
  return { shape: x.shape, data: x.data.map((code) => table[code - low]) };
}

/** Dequantize, apply the curve, quantize: XNNPACK rounds ties to even, LiteRT away from zero. */
function byFloats(op, code, curve) {
  const real = f32(op.input.scale[0] * (code - op.input.zeroPoint));
  const steps = f32(f32(curve(real)) * f32(1 / op.output.scale[0]));
  const { zeroPoint } = op.output;
  return op.byXnnpack ? roundHalfEven(f32(steps + zeroPoint)) : roundHalfAway(steps) + zeroPoint;
}

/** The curve of a Q4.27 number, rounded to `bits` behind the point; the ends saturate. */
function inFixedPoint(op, code, curve, bits) {
  const steps = code - op.input.zeroPoint;
  const { multiplier, shift } = multiplierShift(op.input.scale[0] * 2 ** 27);
  const radius = Math.floor((15 * 2 ** 27) / 2 ** shift);
  if (Math.abs(steps) < radius) {
    return shiftTiesAway(curve(doubleRounding(steps, multiplier, shift)), 31 - bits);
  }
  if (bits === 8) return steps < 0 ? 0 : 255;
  return steps < 0 ? -128 : 127;
}

/** SOFTMAX over the last axis. */
export function softmax(op, x) {
  const length = x.shape.at(-1);
  const rule = softmaxRule(op);
  const data = new Int32Array(x.data.length);
  for (let start = 0; start < data.length; start += length) {
    data.set(rule(x.data.subarray(start, start + length)).codes, start);
  }
  return { shape: x.shape, data };
}

/**
 * @returns {(codes: Int32Array) => {codes: Int32Array, exps: number[], total: number}} the codes of
 * one row, its exponentials and their sum: in Q0.31 and Q12.19, or as floats
 */
export function softmaxRule(op) {
  return op.fast ? byTable(op) : byFixedPoint(op);
}

function byTable(op) {
  const factor = f32(-op.input.scale[0] * f32(op.options.beta));
  const table = Array.from({ length: 256 }, (_, i) => f32(Math.exp(f32(factor * i))));
  const { scale: [scale], zeroPoint } = op.output;
  return (row) => {
    const largest = Math.max(...row);
    const exps = Array.from(row, (code) => table[largest - code]);
    const total = exps.reduce((sum, value) => f32(sum + value)); // from left to right
    const inverse = f32(1 / f32(total * scale));
    const code = (value) => Math.trunc(f32(f32(value * inverse) + 0.5));
    const codes = Int32Array.from(exps, (value) => op.clip(code(value) + zeroPoint));
    return { codes, exps, total };
  };
}

function byFixedPoint(op) {
  const step = Math.min(op.options.beta * op.input.scale[0] * 2 ** 26, 2 ** 31 - 1);
  const { multiplier, shift: half } = multiplierShift(step / 2); // half a step in Q5.26
  const shift = half + 1;
  const [least] = LIMITS[op.output.dtype];
  const farthest = -Math.floor((31 * 2 ** 26) / 2 ** shift); // exp of what lies beyond is nothing
  return (row) => {
    const largest = Math.max(...row);
    const exps = Array.from(row, (code) => {
      const difference = code - largest;
      if (difference < farthest) return 0;
      return expOfNegative(highMultiply(difference * 2 ** shift, multiplier));
    });
    const total = exps.reduce((sum, value) => sum + shiftTiesAway(value, 12), 0);
    const headroom = Math.clz32(total);
    const inverse = reciprocalOfOnePlus(total * 2 ** headroom - 2 ** 31);
    const code = (value) => shiftTiesAway(highMultiply(inverse, value), 35 - headroom);
    const codes = Int32Array.from(exps, (value) => op.clip(code(value) + least));
    return { codes, exps, total };
  };
}
