/**
 * The same network in real numbers: what each code of the integer model should stand for.
 *
 * It computes a float model, or an integer model whose stored codes are dequantized first, with
 * nothing rounded between the layers. In float64: a runtime's float32 differs in the seventh digit.
 */
import { read } from "./file.js";
import { reduction } from "./reduced.js";
import { ACTIVATION_RANGES, ACTIVATIONS } from "./schema.js";
import { broadcast, joining, padding } from "./shapes.js";
import { eachWindow, windows } from "./windows.js";

/** Operators that change how numbers are written, and not the numbers. */
const REWRITES = ["QUANTIZE", "DEQUANTIZE"];

/**
 * @param {import("./file.js").Model} model of floats or of integers
 * @param {ArrayLike<number>[]} inputs real numbers for each of its inputs
 * @returns {Map<import("./file.js").Tensor, import("./engine.js").Values>} Float64Arrays
 */
export function realTrace(model, inputs) {
  const values = new Map(model.inputs.map((tensor, i) => (
    [tensor, { shape: tensor.shape, data: Float64Array.from(inputs[i]) }]
  )));
  const known = (tensor) => tensor && (values.get(tensor) ?? realConstant(tensor));
  for (const op of model.operators) {
    const result = REALS[op.name](op, ...op.inputs.map(known));
    values.set(op.outputs[0], activated(op, result));
  }
  return values;
}

/**
 * Whose real values stand beside an integer model's: those of a float model of the same layers,
 * paired in the order of execution; or its own without rounding.
 *
 * @param {import("./file.js").Model} model of integers
 * @param {Uint8Array | null} floatFile
 * @returns {(inputs: ArrayLike<number>[]) => Map<number, import("./engine.js").Values>} by the
 * index of the integer model's tensors
 */
export function besideFloats(model, floatFile) {
  if (!floatFile) return (inputs) => byIndex(realTrace(model, inputs));
  const floats = read(floatFile);
  const pairs = paired(model, floats);
  return (inputs) => {
    const values = realTrace(floats, inputs);
    return new Map(pairs.map(([index, tensor]) => [index, values.get(tensor)]));
  };
}

const byIndex = (values) => new Map(Array.from(values, ([{ index }, value]) => [index, value]));

/** Pairs of an integer tensor's index and the float tensor of the same meaning. */
function paired(model, floats) {
  const pairs = new Map(model.inputs.map((tensor, i) => [tensor.index, floats.inputs[i]]));
  const rest = [...floats.operators];
  for (const op of model.operators) {
    const partner = REWRITES.includes(op.name) ? null : rest.shift();
    if (partner && partner.name !== op.name) throw new Error(`${partner.name} beside ${op.name}`);
    pairs.set(op.outputs[0].index, partner ? partner.outputs[0] : pairs.get(op.inputs[0].index));
  }
  return [...pairs];
}

/** A stored tensor as real numbers: each channel has its scale. */
function realConstant({ shape, value, scale, zeroPoint, axis }) {
  if (!scale) return { shape, data: value };
  const inner = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
  const channel = (i) => Math.floor(i / inner) % scale.length;
  const real = (code, i) => (code - zeroPoint) * scale[channel(i)];
  return { shape, data: Float64Array.from(value, real) };
}

function activated(op, values) {
  const fused = ACTIVATIONS[op.options.activation ?? 0];
  const [low, high] = ACTIVATION_RANGES[op.name in ACTIVATION_RANGES ? op.name : fused];
  if (low === -Infinity) return values;
  return { ...values, data: values.data.map((x) => Math.min(high, Math.max(low, x))) };
}

/** The sum of products of every window, for each filter, plus its bias. */
function convolution(op, x, kernel, bias, weightAt, depthOf) {
  const [images, height, width, channels] = x.shape;
  const seen = windows(op, x.shape, kernel.shape.slice(1, 3));
  const filters = bias?.data.length ?? kernel.shape.at(op.name === "CONV_2D" ? 0 : -1);
  const data = new Float64Array(images * seen.rows * seen.columns * filters);
  let place = 0;
  for (const { image, taps } of eachWindow(seen, images)) {
    for (let filter = 0; filter < filters; filter += 1, place += 1) {
      let sum = bias?.data[filter] ?? 0;
      const [first, count] = depthOf(filter, channels);
      for (const { tap, y, x: column } of taps) {
        const from = ((image * height + y) * width + column) * channels + first;
        const to = weightAt(filter, tap);
        for (let k = 0; k < count; k += 1) sum += x.data[from + k] * kernel.data[to + k];
      }
      data[place] = sum;
    }
  }
  return { shape: [images, seen.rows, seen.columns, filters], data };
}

function conv2d(op, x, kernel, bias) {
  const [, high, wide, depth] = kernel.shape;
  const weightAt = (filter, tap) => (filter * high * wide + tap) * depth;
  return convolution(op, x, kernel, bias, weightAt, () => [0, depth]);
}

function depthwise(op, x, kernel, bias) {
  const filters = kernel.shape[3];
  const weightAt = (filter, tap) => tap * filters + filter;
  const depthOf = (filter, channels) => [Math.floor(filter / (filters / channels)), 1];
  return convolution(op, x, kernel, bias, weightAt, depthOf);
}

function dense(op, x, kernel, bias) {
  const [units, length] = kernel.shape;
  const data = Float64Array.from({ length: (x.data.length / length) * units }, (_, place) => {
    const [from, to] = [Math.floor(place / units) * length, (place % units) * length];
    let sum = bias?.data[place % units] ?? 0;
    for (let k = 0; k < length; k += 1) sum += x.data[from + k] * kernel.data[to + k];
    return sum;
  });
  return { shape: op.outputs[0].shape, data };
}

const pooled = (join) => (op, x) => {
  const [images, height, width, channels] = x.shape;
  const seen = windows(op, x.shape, [op.options.filterH, op.options.filterW]);
  const data = [];
  for (const { image, taps } of eachWindow(seen, images)) {
    const starts = taps.map((tap) => ((image * height + tap.y) * width + tap.x) * channels);
    for (let k = 0; k < channels; k += 1) data.push(join(starts.map((start) => x.data[start + k])));
  }
  return { shape: [images, seen.rows, seen.columns, channels], data: Float64Array.from(data) };
};

function softmax(op, x) {
  const length = x.shape.at(-1);
  const data = new Float64Array(x.data.length);
  for (let start = 0; start < data.length; start += length) {
    const row = x.data.subarray(start, start + length);
    const largest = row.reduce((a, b) => Math.max(a, b));
    const exps = row.map((value) => Math.exp(op.options.beta * (value - largest)));
    const total = exps.reduce((sum, value) => sum + value);
    data.set(exps.map((value) => value / total), start);
  }
  return { shape: x.shape, data };
}

function mean(op, x) {
  const { shape, count, target } = reduction(op, x.shape);
  const data = new Float64Array(x.data.length / count);
  x.data.forEach((value, i) => { data[target(i)] += value / count; });
  return { shape, data };
}

function pad(op, x) {
  const { shape, from } = padding(op, x.shape);
  const length = shape.reduce((product, n) => product * n, 1);
  return { shape, data: Float64Array.from({ length }, (_, place) => x.data[from(place)] ?? 0) };
}

function concatenation(op, ...parts) {
  const { shape, from } = joining(op, parts.map((part) => part.shape));
  const length = shape.reduce((product, n) => product * n, 1);
  const value = ({ part, index }) => parts[part].data[index];
  return { shape, data: Float64Array.from({ length }, (_, place) => value(from(place))) };
}

const mapped = (rule) => (op, x) => ({ shape: x.shape, data: x.data.map(rule) });

const ofTwo = (rule) => (op, a, b) => {
  const { shape, sources } = broadcast(op, a.shape, b.shape);
  const length = shape.reduce((product, n) => product * n, 1);
  const value = ([i, j]) => rule(a.data[i], b.data[j]);
  return { shape, data: Float64Array.from({ length }, (_, place) => value(sources(place))) };
};

const same = mapped((x) => x);
const reshape = (op, x) => ({ shape: op.outputs[0].shape, data: x.data });
const total = (values) => values.reduce((sum, value) => sum + value, 0);

const REALS = {
  ADD: ofTwo((a, b) => a + b),
  AVERAGE_POOL_2D: pooled((values) => total(values) / values.length),
  CONCATENATION: concatenation,
  CONV_2D: conv2d,
  DEPTHWISE_CONV_2D: depthwise,
  DEQUANTIZE: same,
  EXPAND_DIMS: reshape,
  FULLY_CONNECTED: dense,
  LOGISTIC: mapped((x) => 1 / (1 + Math.exp(-x))),
  MAX_POOL_2D: pooled((values) => values.reduce((a, b) => Math.max(a, b))),
  MEAN: mean,
  MUL: ofTwo((a, b) => a * b),
  PAD: pad,
  QUANTIZE: same,
  RELU: same, // the range is cut behind every operator
  RELU6: same,
  RELU_N1_TO_1: same,
  RESHAPE: reshape,
  SOFTMAX: softmax,
  SQUEEZE: reshape,
  SUB: ofTwo((a, b) => a - b),
  TANH: mapped(Math.tanh),
};
