/**
 * A full-integer .tflite as the engine runs it. What a runtime computes once, before the first
 * image, is computed here: the ratio of scales behind each operator, and the range of its output.
 * Floats are used for that, as all runtimes do.
 */
import { roundHalfAway } from "../../try-it/affine.js";
import { modelError } from "../../try-it/errors.js";
import { taken } from "./delegate.js";
import { LIMITS, read } from "./file.js";
import { multiplierShift, roundHalfEven } from "./fixed-point.js";
import { ACTIVATION_RANGES, ACTIVATIONS } from "./schema.js";

const f32 = Math.fround;

/** LiteRT's reference kernels, TFLite-Micro, LiteRT's optimized kernels, and XNNPACK. */
export const KERNELS = ["reference", "tflm", "builtin", "xnnpack"];

/** Operators with weights, and a bias behind them. */
export const WEIGHTED = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"];

/** An operator of the file, as the kernels of one runtime compute it. */
export class Operator {
  /** @param {import("./file.js").FileOperator} op @param {string} kernels one of KERNELS */
  constructor(op, kernels) {
    Object.assign(this, op, { kernels });
    [this.input] = op.inputs;
    [this.output] = op.outputs;
    this.weighted = WEIGHTED.includes(op.name);
    this.bias = this.weighted ? op.inputs[2] ?? null : null;
    this.asymmetric = this.weighted && op.inputs[1].dtype === "uint8";
    this.fast = kernels === "builtin" || kernels === "xnnpack";
    this.byXnnpack = kernels === "xnnpack" && taken(this);
    if (LIMITS[this.output.dtype]) [this.low, this.high] = this.limits();
    if (this.weighted) this.weights = centered(op.inputs[1], op.inputs[1].value);
  }

  /** The scales of the weights; 1 for an operator without weights. */
  get weightScales() {
    return this.weighted ? this.inputs[1].scale : Float32Array.of(1);
  }

  /**
   * Input scale * weight scale / output scale, for each channel or for all, as float64.
   *
   * LiteRT's dense layers multiply the first two in float32 where all weights have one scale, but
   * not where they are rescaled in floats; so does every other layer with weights of uint8. Its
   * RELU divides in float32.
   */
  get ratios() {
    const [first, last] = [this.input.scale[0], this.output.scale[0]];
    if (this.name in ACTIVATION_RANGES && this.kernels !== "tflm") return [f32(first / last)];
    const dense = this.name === "FULLY_CONNECTED";
    const narrow = dense && this.fast && this.weightScales.length === 1;
    const round = narrow || (this.asymmetric && !dense) ? f32 : (x) => x;
    return Array.from(this.weightScales, (scale) => round(first * scale) / last);
  }

  /** The same as XNNPACK has it: each step rounded to float32. */
  get float32Ratios() {
    const [first, last] = [this.input.scale[0], this.output.scale[0]];
    return Array.from(this.weightScales, (scale) => f32(f32(first * scale) / last));
  }

  /** @returns {{multiplier: number, shift: number}[]} of each ratio */
  get multipliers() {
    return this.ratios.map(multiplierShift);
  }

  /** The range of the output's dtype, cut by the operator's own or fused activation. */
  limits() {
    const fused = ACTIVATIONS[this.options.activation ?? 0];
    const activation = this.name in ACTIVATION_RANGES ? this.name : fused;
    if (!(activation in ACTIVATION_RANGES)) {
      throw refusal(this, `has the fused activation ${activation}`);
    }
    const [low, high] = LIMITS[this.output.dtype];
    const [least, most] = ACTIVATION_RANGES[activation].map((real) => this.code(real));
    return [Math.max(low, least), Math.min(high, most)];
  }

  /** The integer for a real number, not clipped; XNNPACK sends a tie to the even one. */
  code(real) {
    const { scale, zeroPoint } = this.output;
    if (!Number.isFinite(real) || !scale) return real;
    const steps = f32(f32(real) / scale[0]);
    if (this.byXnnpack) return roundHalfEven(f32(steps + zeroPoint));
    return zeroPoint + roundHalfAway(steps);
  }

  /** Clip to what the output can hold. */
  clip(code) {
    return Math.min(this.high, Math.max(this.low, code));
  }
}

/** @returns {Int32Array} `codes - zero_point`: what the codes stand for, in steps of the scale */
export function centered({ zeroPoint }, codes) {
  return Int32Array.from(codes, (code) => code - zeroPoint);
}

/** What the engine does not do, with the operator's name. */
export function refusal(op, what) {
  return modelError(
    `${op.name} ${what}, which the engine of this page does not do. The engine in Python knows `
      + "more: integer_engine.run (lesson 9).",
  );
}

/** Whether equal codes of both tensors stand for equal numbers. */
export function sameCodes(a, b) {
  return a.zeroPoint === b.zeroPoint && String(a.scale) === String(b.scale);
}

/**
 * @param {Uint8Array} bytes a whole .tflite
 * @param {string[]} known the names of the operators that the engine has
 * @returns {import("./file.js").Model} its operators are those that compute with the input's
 * values: shapes are as the file has them, so what only computes shapes is left out
 * @throws {ModelError} when the file is damaged, is not full integer or has another operator
 */
export function load(bytes, known) {
  const model = read(bytes);
  requireIntegers(model.operators);
  const operators = fromInput(model);
  const unknown = [...new Set(operators.map(({ name }) => name))].filter((n) => !known.includes(n));
  if (unknown.length) {
    throw modelError(
      `The engine of this page does not know ${unknown.join(", ")}; it knows ${known.join(", ")}. `
        + "The engine in Python knows more: integer_engine.run (lesson 9).",
    );
  }
  operators.forEach(requireForm);
  return { ...model, operators };
}

function fromInput({ inputs, outputs, operators }) {
  const data = new Set(inputs);
  const found = operators.filter((op) => {
    const depends = op.name !== "SHAPE" && op.inputs.some((tensor) => data.has(tensor));
    if (depends) op.outputs.forEach((tensor) => data.add(tensor));
    return depends;
  });
  if (outputs.every((tensor) => data.has(tensor))) return found;
  throw modelError("No operator computes an output of this file: it is damaged. Convert it again.");
}

/** Refuse what computes with floats, and name its kind; floats may become codes. */
function requireIntegers(operators) {
  const read = operators.map(({ name, inputs }) => (
    { name, dtypes: inputs.filter(Boolean).map(({ dtype }) => dtype) }
  ));
  const isFloat = ({ dtypes }) => dtypes.some((dtype) => dtype.startsWith("float"));
  if (!read.some((op) => op.name !== "QUANTIZE" && isFloat(op))) return;
  for (const [shows, what] of FLOAT_KINDS) {
    const culprit = read.find(shows);
    if (culprit) {
      throw modelError(
        `${culprit.name} takes ${culprit.dtypes.join(", ")}: the model is not full integer, `
          + `${what}. The engine takes what computes with integers from end to end, as the paths `
          + "int8 and uint8 give it (lesson 7).",
      );
    }
  }
}

// What shows that a model computes with floats, and of which kind it is; the first that fits.
const FLOAT_KINDS = [
  [({ dtypes }) => dtypes.includes("float16"), "its weights are float16 (lesson 5)"],
  [
    ({ dtypes }) => dtypes.includes("float32") && dtypes.some((d) => d === "int8" || d === "int4"),
    "it is hybrid: its weights are integers, its activations floats (lesson 4)",
  ],
  [
    ({ name, dtypes }) => name === "QUANTIZE" && dtypes.includes("float32"),
    "some operators fell back to float (lesson 7)",
  ],
  [({ dtypes }) => dtypes.includes("float32"), "it is a float model (lesson 1)"],
];

/** Refuse dtypes and weights in a form that the engine lacks. */
function requireForm(op) {
  const ends = op.inputs.slice(0, SIDES[op.name] ?? 1);
  for (const { dtype } of [...ends, ...op.outputs]) {
    const float = dtype === "float32" && ["QUANTIZE", "DEQUANTIZE"].includes(op.name);
    const code = dtype === "int8" || dtype === "uint8";
    if (!float && !code) throw refusal(op, `takes or gives ${dtype}`);
  }
  for (const tensor of [...ends, ...op.outputs]) {
    if (tensor.dtype !== "float32" && !tensor.scale) throw refusal(op, "has codes without a scale");
  }
  if (WEIGHTED.includes(op.name)) requireWeights(op);
}

/** How many inputs are codes; the others are sizes or axes. */
const SIDES = { ADD: 2, SUB: 2, MUL: 2, CONCATENATION: Infinity };

function requireWeights(op) {
  const [input, weights, bias] = op.inputs;
  const unsigned = weights.dtype === "uint8";
  if (!weights.value || (bias && !bias.value)) throw refusal(op, "has weights that are computed");
  const { dtype, zeroPoint } = weights;
  if (!LIMITS[dtype] || !weights.scale) throw refusal(op, `has weights of ${dtype}`);
  if (unsigned !== (input.dtype === "uint8") || (zeroPoint && !unsigned)) {
    throw refusal(op, `has ${dtype} weights with zero point ${zeroPoint} on ${input.dtype}`);
  }
  if (op.name === "CONV_2D" && weights.shape[3] !== input.shape[3]) {
    throw refusal(op, "has groups of channels");
  }
}
