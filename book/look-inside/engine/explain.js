/**
 * One output of an operator, taken apart: what it is made of, and every integer on the way to its
 * code. It uses the rules of the operators themselves, so it ends at the code that they gave.
 *
 * @typedef {object} Term one thing that an output is made of
 * @property {import("./file.js").Tensor} tensor
 * @property {number} index the place in the tensor, -1 for padding
 * @property {number} code
 * @property {number} [step] code - zero_point
 * @property {number} [weight] in steps of its scale
 * @property {number} [product] step * weight
 *
 * @typedef {object} Step one line of the calculation
 * @property {string} label
 * @property {number} value an integer, or a real number where `real`
 * @property {boolean} [real]
 * @property {string} [note]
 *
 * @typedef {object} Explanation
 * @property {{name: string, columns: number, terms: Term[]}[]} pages the terms, in parts
 * @property {Step[]} steps
 * @property {number} code the last of the steps
 */
import { roundHalfAway } from "../../try-it/affine.js";
import { softmaxRule } from "./curves.js";
import { productRule, sumRuleAt, xnnpackFactor } from "./elementwise.js";
import { highMultiply, shiftTiesUp } from "./fixed-point.js";
import { meanRule, reduction } from "./reduced.js";
import { rounding } from "./rescaling.js";
import { broadcast, dimensions, joining, padding } from "./shapes.js";
import { windows } from "./windows.js";

const IN_A_ROW = 8; // terms of a dense layer, of which a page has five rows

/**
 * @param {import("./graph.js").Operator} op
 * @param {(tensor: object) => import("./engine.js").Values} known the values of its inputs
 * @param {import("./engine.js").Values} result what the operator gave
 * @param {number} place in the result
 * @returns {Explanation}
 */
export function explain(op, known, result, place) {
  const inputs = op.inputs.map((tensor) => tensor && known(tensor));
  const { pages, steps } = EXPLAINED[op.name](op, inputs, result, place);
  return { pages, steps, code: steps.at(-1).value };
}

const term = (tensor, values, index) => (
  { tensor, index, code: values.data[index], step: values.data[index] - tensor.zeroPoint }
);
const onePage = (name, columns, terms) => [{ name, columns, terms }];
const real = (label, value, note) => ({ label, value, real: true, note });
const shifted = (value, n, ties) => ({ label: "shifted", value, note: `/ 2^${n}, ${ties}` });
const sumOf = (numbers) => numbers.reduce((total, n) => total + n, 0);

// ---- sums of products

function weighted(op, inputs, result, place) {
  const channel = place % result.shape.at(-1);
  const pages = PRODUCTS[op.name](op, inputs[0], result, place);
  const products = pages.flatMap(({ terms }) => terms.map(({ product }) => product));
  const bias = op.bias?.value[channel] ?? 0;
  const sum = sumOf(products);
  const steps = [
    { label: "sum of products", value: sum, note: `${products.length} products` },
    { label: "bias", value: bias, note: op.bias ? "an int32 of the file" : "the layer has none" },
    { label: "accumulator", value: sum + bias, note: "32 bits" },
    ...rescaling(op, sum + bias, channel, place, result.data.length),
  ];
  return { pages, steps };
}

/** Each gives pages of terms with products. */
const PRODUCTS = {
  CONV_2D(op, x, result, place) {
    const [, high, wide, depth] = op.inputs[1].shape;
    const { taps, start, filter } = window(op, x, result, place, [high, wide]);
    return Array.from({ length: depth }, (_, k) => ({
      name: `input channel ${k}`,
      columns: wide,
      terms: taps.map((tap, at) => productTerm(
        op, x, tap && start(tap) + k, (filter * high * wide + at) * depth + k,
      )),
    }));
  },
  DEPTHWISE_CONV_2D(op, x, result, place) {
    const [, high, wide, filters] = op.inputs[1].shape;
    const { taps, start, filter } = window(op, x, result, place, [high, wide]);
    const channel = Math.floor(filter / (filters / x.shape[3]));
    const terms = taps.map((tap, at) => productTerm(
      op, x, tap && start(tap) + channel, at * filters + filter,
    ));
    return onePage(`input channel ${channel}`, wide, terms);
  },
  FULLY_CONNECTED(op, x, result, place) {
    const [units, length] = op.inputs[1].shape;
    const from = Math.floor(place / units) * length;
    const to = (place % units) * length;
    const terms = Array.from({ length }, (_, k) => productTerm(op, x, from + k, to + k));
    const size = 5 * IN_A_ROW;
    return Array.from({ length: Math.ceil(length / size) }, (_, page) => ({
      name: `inputs ${page * size} to ${Math.min(length, (page + 1) * size) - 1}`,
      columns: IN_A_ROW,
      terms: terms.slice(page * size, (page + 1) * size),
    }));
  },
};

/** @param {number | null} index in the input; null for padding, which stands for 0 */
function productTerm(op, x, index, at) {
  const weight = op.weights[at];
  if (index === null) {
    return { tensor: op.input, index: -1, code: op.input.zeroPoint, step: 0, weight, product: 0 };
  }
  const found = term(op.input, x, index);
  return { ...found, weight, product: found.step * weight };
}

/** The window behind one output: its taps in order, null where it lies in the padding. */
function window(op, x, result, place, size) {
  const [, height, width, channels] = x.shape;
  const [image, row, column, filter] = dimensions(result.shape).places(place);
  const inside = windows(op, x.shape, size).taps(row, column);
  const taps = Array.from({ length: size[0] * size[1] }, (_, at) => (
    inside.find(({ tap }) => tap === at) ?? null
  ));
  return { taps, filter, start: ({ y, x: at }) => ((image * height + y) * width + at) * channels };
}

// ---- from an accumulator to a code

const TIES = { away: "ties away from zero", up: "ties up", even: "ties to even" };

function rescaling(op, acc, channel, element, size) {
  const found = rounding(op, size);
  const steps = found.steps(acc, channel, element);
  return [
    ...(found.rule === "twice" ? byMultiplier : byFloat)(found, acc, channel, element),
    ...ending(op, steps),
  ];
}

function byFloat({ rule, ratio, steps }, acc, channel) {
  const [bits, ties] = rule === "float32" ? ["float32", TIES.even] : ["float64", TIES.away];
  return [
    real("M", ratio(channel), `a ${bits}: this runtime has no multiplier here`),
    real("M × accumulator", acc * ratio(channel), "in steps of the output"),
    { label: "rounded once", value: steps(acc, channel), note: ties },
  ];
}

function byMultiplier({ ratio, parts, up, steps }, acc, channel, element) {
  const { multiplier, shift } = parts(channel);
  const high = highMultiply(acc * 2 ** Math.max(shift, 0), multiplier);
  const ties = up(channel, element) ? TIES.up : TIES.away;
  return [
    { label: "multiplier", value: multiplier, note: "M = multiplier / 2³¹ × 2^shift" },
    { label: "shift", value: shift, note: shift > 0 ? "to the left" : "minus: to the right" },
    real("M × accumulator", acc * ratio(channel), "in steps of the output"),
    { label: "high multiplication", value: high, note: "accumulator × multiplier / 2³¹, ties up" },
    shifted(steps(acc, channel, element), Math.max(-shift, 0), ties),
  ];
}

function ending(op, steps) {
  const { zeroPoint } = op.output;
  const code = steps + zeroPoint;
  return [
    { label: "zero point added", value: code, note: `${steps} + (${zeroPoint})` },
    clipped(op, code),
  ];
}

function clipped(op, code) {
  const why = op.high - op.low < 255 ? "the activation's range" : op.output.dtype;
  return { label: "clipped", value: op.clip(code), note: `to ${op.low} … ${op.high}, ${why}` };
}

// ---- the others

function rescale(op, [x], result, place) {
  const from = term(op.input, x, place);
  const pages = onePage("the code", 1, [from]);
  if (op.input.dtype === "float32" || (op.name === "RELU6" && op.kernels === "tflm")) {
    const last = { label: "code", value: result.data[place], note: "in one step" };
    return { pages, steps: [last] };
  }
  const first = { label: "code − zero point", value: from.step, note: `of ${op.input.dtype}` };
  if (!op.byXnnpack) {
    return { pages, steps: [first, ...rescaling(op, from.step, 0, place, x.data.length)] };
  }
  const factor = xnnpackFactor(op);
  const last = shifted(shiftTiesUp(from.step * factor, 8), 8, TIES.up);
  const steps = [first, { label: "M × 256", value: factor, note: "as an integer" }, last];
  return { pages, steps: [...steps, ...ending(op, last.value)] };
}

function pool(op, [x], result, place) {
  const size = [op.options.filterH, op.options.filterW];
  const { taps, start, filter } = window(op, x, result, place, size);
  const terms = taps.map((tap) => (
    tap ? term(op.input, x, start(tap) + filter) : { tensor: op.input, index: -1 }
  ));
  const codes = terms.filter(({ index }) => index >= 0).map(({ code }) => code);
  const pages = onePage(`channel ${filter}`, size[1], terms);
  if (op.name === "MAX_POOL_2D") {
    const largest = Math.max(...codes);
    const first = { label: "largest code", value: largest, note: "one scale, so codes compare" };
    return { pages, steps: [first, clipped(op, largest)] };
  }
  const mean = sumOf(codes) / codes.length;
  const steps = [
    { label: "sum of codes", value: sumOf(codes), note: `${codes.length}, padding does not count` },
    real("mean", mean),
    { label: "rounded", value: roundHalfAway(mean), note: TIES.away },
    clipped(op, roundHalfAway(mean)),
  ];
  return { pages, steps };
}

function ofTwo(op, inputs, result, place) {
  const { sources } = broadcast(op, inputs[0].shape, inputs[1].shape);
  const terms = sources(place).map((index, side) => term(op.inputs[side], inputs[side], index));
  const [a, b] = terms.map(({ step }) => step);
  const rule = op.name === "MUL" ? productRule(op) : sumRuleAt(op, place, result.data.length);
  const how = op.name === "MUL" ? "the product, rescaled" : "both on one scale, then added";
  const steps = [
    { label: "first − zero point", value: a },
    { label: "second − zero point", value: b },
    { label: "in steps of the output", value: rule(a, b), note: how },
    ...ending(op, rule(a, b)),
  ];
  return { pages: onePage("the two codes", 2, terms), steps };
}

function mean(op, [x], result, place) {
  const { count, target } = reduction(op, x.shape);
  const terms = [];
  x.data.forEach((_, i) => { if (target(i) === place) terms.push(term(op.input, x, i)); });
  const sum = sumOf(terms.map(({ code }) => code));
  const code = meanRule(op, x.shape, count)(sum, place % result.shape.at(-1));
  const steps = [
    { label: "sum of codes", value: sum, note: `${count} codes` },
    { label: "rescaled", value: code, note: `M holds the division by ${count}` },
    clipped(op, code),
  ];
  return { pages: onePage("all that is averaged", IN_A_ROW, terms), steps };
}

function softmax(op, [x], result, place) {
  const length = x.shape.at(-1);
  const start = place - (place % length);
  const row = x.data.subarray(start, start + length);
  const { codes, exps, total } = softmaxRule(op)(row);
  const terms = Array.from(row, (_, i) => term(op.input, x, start + i));
  const [unit, one] = op.fast ? ["a float from a table", 1] : ["in Q0.31: / 2³¹", 2 ** 31];
  const exponential = exps[place - start];
  const inQ19 = "in Q12.19: / 2¹⁹";
  const steps = [
    { label: "largest code", value: Math.max(...row) },
    { label: "distance from it", value: x.data[place] - Math.max(...row) },
    { label: "exponential", value: exponential, real: op.fast, note: unit },
    { label: "sum of all", value: total, real: op.fast, note: op.fast ? "in float32" : inQ19 },
    real("share", exponential / one / (op.fast ? total : total / 2 ** 19)),
    { label: "code", value: codes[place - start], note: "share / scale + zero point" },
  ];
  return { pages: onePage("all codes of the row", Math.min(5, length), terms), steps };
}

function curve(op, [x], result, place) {
  const from = term(op.input, x, place);
  const x0 = from.step * op.input.scale[0];
  const value = op.name === "TANH" ? Math.tanh(x0) : 1 / (1 + Math.exp(-x0));
  const how = op.kernels === "tflm" ? "fixed point" : "floats";
  const steps = [
    real("stands for", x0, "scale × (code − zero point)"),
    real("the curve there", value),
    { label: "code", value: result.data[place], note: `from a table of 256, made with ${how}` },
  ];
  return { pages: onePage("the code", 1, [from]), steps };
}

function dequantize(op, [x], result, place) {
  const from = term(op.input, x, place);
  const steps = [
    { label: "code − zero point", value: from.step },
    real("× scale", result.data[place], "a float leaves the model"),
  ];
  return { pages: onePage("the code", 1, [from]), steps };
}

/** Operators that move codes. */
const copied = (source) => (op, inputs, result, place) => {
  const { side, index } = source(op, inputs, place);
  const found = index < 0
    ? { tensor: op.input, index, code: op.output.zeroPoint, step: 0 }
    : term(op.inputs[side], inputs[side], index);
  const note = index < 0 ? "added: it stands for 0" : "copied, nothing is computed";
  const steps = [{ label: "code", value: result.data[place], note }];
  return { pages: onePage("the code", 1, [found]), steps };
};

const reshaped = copied((op, inputs, place) => ({ side: 0, index: place }));

const EXPLAINED = {
  ADD: ofTwo,
  AVERAGE_POOL_2D: pool,
  CONCATENATION: copied((op, inputs, place) => {
    const { part, index } = joining(op, inputs.map(({ shape }) => shape)).from(place);
    return { side: part, index };
  }),
  CONV_2D: weighted,
  DEPTHWISE_CONV_2D: weighted,
  DEQUANTIZE: dequantize,
  EXPAND_DIMS: reshaped,
  FULLY_CONNECTED: weighted,
  LOGISTIC: curve,
  MAX_POOL_2D: pool,
  MEAN: mean,
  MUL: ofTwo,
  PAD: copied((op, [x], place) => ({ side: 0, index: padding(op, x.shape).from(place) })),
  QUANTIZE: rescale,
  RELU: rescale,
  RELU6: rescale,
  RELU_N1_TO_1: rescale,
  RESHAPE: reshaped,
  SOFTMAX: softmax,
  SQUEEZE: reshaped,
  SUB: ofTwo,
  TANH: curve,
};
