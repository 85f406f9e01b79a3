/**
 * Integer-only inference in the browser: what lessons_lib.integer_engine does in NumPy, one
 * function an operator, file by file beside lessons_lib/run/engine. It computes one call of the
 * runtime that `kernels` names, code by code as that runtime does.
 *
 * Codes lie in Int32Arrays, whatever their dtype. Defined in lesson 9.
 */
import * as curves from "./curves.js";
import * as elementwise from "./elementwise.js";
import * as graph from "./graph.js";
import * as reduced from "./reduced.js";
import * as shapes from "./shapes.js";
import * as weighted from "./weighted.js";
import * as windows from "./windows.js";

export { KERNELS } from "./graph.js";

/** Each takes its Operator and the values of its inputs, and returns those of its output. */
export const OPERATORS = {
  ADD: elementwise.add,
  AVERAGE_POOL_2D: windows.averagePool2d,
  CONCATENATION: shapes.concatenation,
  CONV_2D: weighted.conv2d,
  DEPTHWISE_CONV_2D: weighted.depthwiseConv2d,
  DEQUANTIZE: elementwise.dequantize,
  EXPAND_DIMS: shapes.reshape,
  FULLY_CONNECTED: weighted.fullyConnected,
  LOGISTIC: curves.logistic,
  MAX_POOL_2D: windows.maxPool2d,
  MEAN: reduced.mean,
  MUL: elementwise.mul,
  PAD: shapes.pad,
  QUANTIZE: elementwise.quantize,
  RELU: elementwise.relu,
  RELU6: elementwise.relu,
  RELU_N1_TO_1: elementwise.relu,
  RESHAPE: shapes.reshape,
  SOFTMAX: curves.softmax,
  SQUEEZE: shapes.reshape,
  SUB: elementwise.sub,
  TANH: curves.tanh,
};

/**
 * @typedef {object} Values
 * @property {number[]} shape
 * @property {Int32Array | Float32Array} data codes, or floats at an end of the model
 */

/** @param {Uint8Array} bytes @returns {import("./file.js").Model} @throws {ModelError} */
export function load(bytes) {
  return graph.load(bytes, Object.keys(OPERATORS));
}

/** @returns {graph.Operator[]} the model's operators as the kernels of one runtime compute them */
export function operatorsOf(model, kernels) {
  return model.operators.map((op) => new graph.Operator(op, kernels));
}

/**
 * @param {import("./file.js").Model} model
 * @param {ArrayLike<number>[]} inputs for each of its inputs, codes or floats in the file's shape
 * @param {string} kernels one of KERNELS
 * @returns {Map<import("./file.js").Tensor, Values>} of every tensor that depends on the inputs
 */
export function trace(model, inputs, kernels) {
  return run(operatorsOf(model, kernels), model, inputs);
}

/** The same for operators that are ready. */
export function run(operators, model, inputs) {
  const values = new Map(model.inputs.map((tensor, i) => [tensor, given(tensor, inputs[i])]));
  const known = (tensor) => tensor && (values.get(tensor) ?? constant(tensor));
  for (const op of operators) {
    values.set(op.output, OPERATORS[op.name](op, ...op.inputs.map(known)));
  }
  return values;
}

function given({ shape, dtype }, data) {
  return { shape, data: dtype === "float32" ? Float32Array.from(data) : Int32Array.from(data) };
}

const constant = ({ shape, value }) => ({ shape, data: value });
