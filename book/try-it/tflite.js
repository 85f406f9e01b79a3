/**
 * Reads from a .tflite file what the runtime's API does not tell: the scale and the zero point of
 * the model's input and output. A .tflite is a FlatBuffer; its fields and their order are those of
 * TensorFlow Lite's schema.fbs.
 */
import { ModelError, modelError } from "./errors.js";
import { Table } from "./flatbuffer.js";

const IDENTIFIER = "TFL3";

// The positions of the fields in schema.fbs, counted from 0.
const MODEL = { subgraphs: 2 };
const SUBGRAPH = { tensors: 0, inputs: 1, outputs: 2 };
const TENSOR = { shape: 0, type: 1, quantization: 4, shapeSignature: 7 };
const QUANTIZATION = { scale: 2, zeroPoint: 3 };

export const TENSOR_TYPES = [
  "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8",
  "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16",
];

/**
 * @typedef {object} Tensor an input or an output of a model
 * @property {string} dtype such as "float32" or "uint8"
 * @property {number[]} shape with the batch first; -1 for what is only known when it runs
 * @property {number} scale float32; 0 where the file gives none
 * @property {number} zeroPoint
 */

/**
 * @param {Uint8Array} bytes a whole .tflite file
 * @returns {{inputs: Tensor[], outputs: Tensor[]}} of the first subgraph
 * @throws {ModelError} when it is no .tflite, or cut short or damaged where these are described
 */
export function readEnds(bytes) {
  return readModel(bytes, (model) => ends(model.tables(MODEL.subgraphs)[0]));
}

/**
 * @param {Uint8Array} bytes a whole .tflite file
 * @param {(model: Table) => T} read what is wanted of it
 * @returns {T}
 * @throws {ModelError} when it is no .tflite, or `read` is led out of the file
 * @template T
 */
export function readModel(bytes, read) {
  requireIdentifier(bytes);
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return read(new Table(view, view.getUint32(0, true)));
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw modelError(
      "This file is damaged or cut short: it points to places that it does not have. "
        + "Copy or export it again.",
      error,
    );
  }
}

function requireIdentifier(bytes) {
  if (bytes.length === 0) throw modelError("This file is empty. Export the model again.");
  if (String.fromCharCode(...bytes.subarray(4, 8)) !== IDENTIFIER) {
    throw modelError(
      `This is no .tflite: such a file has the letters ${IDENTIFIER} at its bytes 4 to 7. `
        + "Choose a file that the converter wrote.",
    );
  }
}

function ends(graph) {
  const tensors = graph.tables(SUBGRAPH.tensors);
  const read = (index) => {
    const table = tensors[index];
    if (!table) throw new RangeError(`no tensor ${index}`);
    return tensor(table);
  };
  return {
    inputs: graph.integers(SUBGRAPH.inputs).map(read),
    outputs: graph.integers(SUBGRAPH.outputs).map(read),
  };
}

function tensor(table) {
  const { view } = table;
  const type = table.at(TENSOR.type);
  const code = type ? view.getInt8(type) : 0;
  const signature = table.integers(TENSOR.shapeSignature);
  return {
    dtype: TENSOR_TYPES[code] ?? `of type ${code}`,
    shape: signature.length ? signature : table.integers(TENSOR.shape),
    ...affine(table.table(TENSOR.quantization)),
  };
}

function affine(quantization) {
  if (!quantization) return { scale: 0, zeroPoint: 0 };
  const { view } = quantization;
  const [scale] = quantization.elements(QUANTIZATION.scale, 4);
  const [zeroPoint] = quantization.elements(QUANTIZATION.zeroPoint, 8);
  return {
    scale: scale ? view.getFloat32(scale, true) : 0,
    zeroPoint: zeroPoint ? Number(view.getBigInt64(zeroPoint, true)) : 0,
  };
}
