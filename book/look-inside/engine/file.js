/** Reads a .tflite: its first subgraph's tensors with what the file stores, and its operators. */
import { modelError } from "../../try-it/errors.js";
import { readModel, TENSOR_TYPES } from "../../try-it/tflite.js";
import {
  BUFFER, MODEL, OPERATOR, OPERATOR_CODE, OPERATOR_NAMES, OPTIONS, QUANTIZATION, SUBGRAPH, TENSOR,
} from "./schema.js";

/**
 * @typedef {object} Tensor
 * @property {number} index in the file
 * @property {string} name
 * @property {string} dtype "uint8", "int8", "int32", "float32" and so on
 * @property {number[]} shape with 1 where a dimension is open
 * @property {Float32Array | null} scale one number, or one for each channel; null without
 * @property {number} zeroPoint
 * @property {number} axis of the channels that have a scale each
 * @property {ArrayLike<number> | null} value what the file stores; null for what is computed
 * @property {boolean} packed 4 bits each in the file
 *
 * @typedef {object} FileOperator
 * @property {string} name such as "CONV_2D"
 * @property {(Tensor | null)[]} inputs null for one that is left out
 * @property {Tensor[]} outputs
 * @property {object} options by the names of OPTIONS in schema.js
 *
 * @typedef {object} Model
 * @property {Tensor[]} tensors
 * @property {FileOperator[]} operators in the order of execution
 * @property {Tensor[]} inputs
 * @property {Tensor[]} outputs
 */

/**
 * @param {Uint8Array} bytes a whole .tflite
 * @returns {Model}
 * @throws {ModelError} when it is no .tflite, damaged, or quantized as the engine cannot read it
 */
export function read(bytes) {
  return readModel(bytes, (model) => {
    const graph = model.tables(MODEL.subgraphs)[0];
    const buffers = model.tables(MODEL.buffers);
    const tensors = graph.tables(SUBGRAPH.tensors).map((table, i) => tensor(table, i, buffers));
    const names = model.tables(MODEL.operatorCodes).map(operatorName);
    return {
      tensors,
      operators: graph.tables(SUBGRAPH.operators).map((table) => operator(table, names, tensors)),
      inputs: graph.integers(SUBGRAPH.inputs).map((i) => existing(tensors, i)),
      outputs: graph.integers(SUBGRAPH.outputs).map((i) => existing(tensors, i)),
    };
  });
}

function existing(list, index) {
  if (list[index] === undefined) throw new RangeError(`there is no number ${index}`);
  return list[index];
}

/** The larger of two fields, as the schema says: the first one holds no more than 127. */
function operatorName(code) {
  const { deprecated, builtin, custom } = OPERATOR_CODE;
  const number = Math.max(code.number(deprecated, "Int8"), code.number(builtin, "Int32"));
  const name = OPERATOR_NAMES[number] ?? `OPERATOR_${number}`;
  return name === "CUSTOM" ? `CUSTOM ${code.text(custom)}` : name;
}

function operator(table, names, tensors) {
  const name = existing(names, table.number(OPERATOR.code, "Uint32"));
  const options = table.table(OPERATOR.options);
  const fields = Object.entries(OPTIONS[name] ?? {});
  return {
    name,
    inputs: table.integers(OPERATOR.inputs).map((i) => (i < 0 ? null : existing(tensors, i))),
    outputs: table.integers(OPERATOR.outputs).map((i) => existing(tensors, i)),
    options: Object.fromEntries(fields.map(([key, [place, kind, otherwise = 0]]) => (
      [key, options?.number(place, kind, otherwise) ?? otherwise]
    ))),
  };
}

function tensor(table, index, buffers) {
  const code = table.number(TENSOR.type, "Int8");
  const dtype = TENSOR_TYPES[code] ?? `of type ${code}`;
  const name = table.text(TENSOR.name);
  if (table.table(TENSOR.sparsity)) throw modelError(`The tensor ${name} is sparse. ${DENSE}`);
  const bytes = existing(buffers, table.number(TENSOR.buffer, "Uint32")).bytes(BUFFER.data);
  return {
    index,
    name,
    dtype,
    shape: table.integers(TENSOR.shape),
    ...quantization(table.table(TENSOR.quantization), name, dtype),
    value: bytes.length ? stored(bytes, dtype) : null,
    packed: dtype === "int4",
  };
}

const DENSE = "Convert the model with all weights stored, and with one scale for each tensor or "
  + "each channel.";

function quantization(table, name, dtype) {
  const scale = table ? table.elements(QUANTIZATION.scale, 4) : [];
  if (scale.length === 0) return { scale: null, zeroPoint: 0, axis: 0 };
  if (table.number(QUANTIZATION.details, "Uint8")) {
    throw modelError(`The tensor ${name} is quantized in blocks. ${DENSE}`);
  }
  const { view } = table;
  const scales = Float32Array.from(scale, (at) => view.getFloat32(at, true));
  const zeroPoints = table.elements(QUANTIZATION.zeroPoint, 8)
    .map((at) => Number(view.getBigInt64(at, true)));
  requireSound(scales, zeroPoints, name, dtype);
  const axis = table.number(QUANTIZATION.axis, "Int32");
  return { scale: scales, zeroPoint: zeroPoints[0] ?? 0, axis };
}

/** The least and the largest code. */
export const LIMITS = { uint8: [0, 255], int8: [-128, 127], int4: [-8, 7] };

function requireSound(scales, zeroPoints, name, dtype) {
  const [low, high] = LIMITS[dtype] ?? [-Infinity, Infinity];
  const codes = zeroPoints.every((z) => z === zeroPoints[0] && z >= low && z <= high);
  const numbers = !LIMITS[dtype] || scales.every((scale) => scale > 0 && Number.isFinite(scale));
  if (codes && numbers) return;
  throw modelError(
    `The tensor ${name} of ${dtype} has the zero point ${zeroPoints} and the scale ${scales[0]}: `
      + "a scale is a number above 0, and a zero point one code for the whole tensor (lesson 3). "
      + "Convert the model again.",
  );
}

const ARRAYS = {
  uint8: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  float32: Float32Array, bool: Uint8Array,
};

function stored(bytes, dtype) {
  if (dtype === "int4") return unpacked(bytes);
  const Kind = ARRAYS[dtype];
  if (!Kind) return bytes;
  const values = new Kind(bytes.buffer, 0, Math.floor(bytes.length / Kind.BYTES_PER_ELEMENT));
  return dtype === "int64" ? Float64Array.from(values, Number) : values;
}

/** Two codes of 4 bits in each byte, the lower half first. */
function unpacked(bytes) {
  return Int8Array.from({ length: 2 * bytes.length }, (_, i) => (
    (bytes[i >> 1] << (i % 2 ? 24 : 28)) >> 28
  ));
}
