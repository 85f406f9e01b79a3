/**
 * Reads from a .tflite file what the runtime's API does not tell: the scale and the zero point of
 * the model's input and output. A .tflite is a FlatBuffer; its fields and their order are those of
 * TensorFlow Lite's schema.fbs.
 *
 * Every read goes through a DataView, which throws a RangeError outside of the file.
 */
import { modelError } from "./errors.js";

const IDENTIFIER = "TFL3";

// The positions of the fields in schema.fbs, counted from 0.
const MODEL = { subgraphs: 2 };
const SUBGRAPH = { tensors: 0, inputs: 1, outputs: 2 };
const TENSOR = { shape: 0, type: 1, quantization: 4, shapeSignature: 7 };
const QUANTIZATION = { scale: 2, zeroPoint: 3 };

const TENSOR_TYPES = [
  "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8",
  "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16",
];

/** A FlatBuffer table: where it lies, and where its fields lie. */
class Table {
  /** @param {DataView} view @param {number} position of the table in the file */
  constructor(view, position) {
    this.view = view;
    this.position = position;
    this.vtable = position - view.getInt32(position, true);
    this.vtableBytes = view.getUint16(this.vtable, true);
  }

  /** @returns {number} where the field lies, or 0 where the file leaves it out */
  at(field) {
    const entry = 4 + 2 * field;
    if (entry >= this.vtableBytes) return 0;
    const offset = this.view.getUint16(this.vtable + entry, true);
    return offset && this.position + offset;
  }

  /** @returns {Table | null} the table that the field points to */
  table(field) {
    const at = this.at(field);
    return at ? new Table(this.view, at + this.view.getUint32(at, true)) : null;
  }

  /** @returns {number[]} where each element of the field's vector lies; `bytes` is one's size */
  elements(field, bytes) {
    const at = this.at(field);
    if (!at) return [];
    const start = at + this.view.getUint32(at, true);
    const length = this.view.getUint32(start, true);
    if (start + 4 + length * bytes > this.view.byteLength) throw new RangeError("vector too long");
    return Array.from({ length }, (_, i) => start + 4 + i * bytes);
  }

  /** @returns {number[]} a vector of int32 */
  integers(field) {
    return this.elements(field, 4).map((at) => this.view.getInt32(at, true));
  }

  /** @returns {Table[]} a vector of tables */
  tables(field) {
    return this.elements(field, 4).map(
      (at) => new Table(this.view, at + this.view.getUint32(at, true)),
    );
  }
}

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
  requireIdentifier(bytes);
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const model = new Table(view, view.getUint32(0, true));
    return ends(model.tables(MODEL.subgraphs)[0]);
  } catch (error) {
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
