/** One .tflite, ready to answer: pixels in, ten numbers out, whatever dtypes its ends have. */
import * as affine from "./affine.js";
import { modelError } from "./errors.js";
import { toUnit } from "./preprocess.js";
import * as runtime from "./runtime.js";
import { readEnds } from "./tflite.js";

const PIXELS = 784;
export const CLASSES = 10;

/**
 * @typedef {object} Answer
 * @property {Float32Array | Uint8Array} codes (10,) as the model gave them
 * @property {Float32Array} values (10,) the same, dequantized
 * @property {number} best the class with the largest value, the first of several
 */

export class Model {
  /** Use `Model.open`. */
  constructor(name, bytes, compiled, input, output) {
    Object.assign(this, { name, bytes, compiled, input, output });
  }

  /**
   * @param {string} name
   * @param {Uint8Array} bytes a whole .tflite
   * @returns {Promise<Model>}
   * @throws {ModelError} when it is not a model for the page; before the runtime has touched it
   * @throws {unknown} what the runtime throws at a file that it does not take
   */
  static async open(name, bytes) {
    const { input, output } = requireDigitModel(readEnds(bytes));
    return new Model(name, bytes, await runtime.compile(bytes), input, output);
  }

  /** @param {Uint8Array} pixels (784,) 0..255 @returns {Promise<Answer>} */
  async answer(pixels) {
    const tensor = this.tensor(pixels);
    try {
      const codes = await this.run(tensor);
      return { codes, values: this.dequantize(codes), best: codes.indexOf(Math.max(...codes)) };
    } finally {
      tensor.delete();
    }
  }

  /** The input tensor for these pixels; the caller deletes it. */
  tensor(pixels) {
    const unit = toUnit(pixels);
    const { dtype, scale, zeroPoint, shape } = this.input;
    const values = dtype === "uint8" ? affine.quantize(unit, scale, zeroPoint) : unit;
    return runtime.tensor(values, shape);
  }

  /** @returns {Promise<Float32Array | Uint8Array>} (10,) */
  async run(tensor) {
    const output = await runtime.run(this.compiled, tensor);
    const codes = output.toTypedArray();
    output.delete();
    return codes;
  }

  /** Run `count` times and drop what comes out: what is timed. */
  async repeat(tensor, count) {
    for (let i = 0; i < count; i += 1) {
      (await runtime.run(this.compiled, tensor)).delete();
    }
  }

  dequantize(codes) {
    const { dtype, scale, zeroPoint } = this.output;
    return dtype === "uint8" ? affine.dequantize(codes, scale, zeroPoint) : codes;
  }

  delete() {
    this.compiled.delete();
  }
}

/** @returns {{input: object, output: object}} the only ones, fit for digits */
function requireDigitModel({ inputs, outputs }) {
  requireOneOfEach(inputs, outputs);
  const ends = { input: inputs[0], output: outputs[0] };
  Object.entries(ends).forEach(([end, tensor]) => requireDtype(end, tensor));
  requireFixed(ends.input);
  requireShapes(ends);
  return ends;
}

function requireOneOfEach(inputs, outputs) {
  if (inputs.length !== 1 || outputs.length !== 1) {
    throw modelError(
      `This model has ${count(inputs, "input")} and ${count(outputs, "output")}. The page gives `
        + "one image and reads one list of ten numbers: export a model with one of each.",
    );
  }
}

const count = (list, noun) => `${list.length} ${noun}${list.length === 1 ? "" : "s"}`;
const written = (shape) => `[${shape.join(", ")}]`;
const elements = (shape) => shape.reduce((product, n) => product * n, 1);

function requireDtype(end, { dtype, scale }) {
  if (dtype === "int8" || dtype === "int16") {
    throw modelError(
      `This model's ${end} is ${dtype}, and LiteRT.js refuses ${dtype} ${end}s. Export it with `
        + "uint8 or float ends: the paths uint8 and int8_float_fallback are int8 inside.",
    );
  }
  if (dtype !== "float32" && dtype !== "uint8") {
    throw modelError(
      `This model's ${end} is ${dtype}. The page gives an image and reads ten numbers as float32 `
        + "or as uint8 codes: export a model with such ends.",
    );
  }
  if (dtype === "uint8" && !(scale > 0 && Number.isFinite(scale))) {
    throw modelError(
      `This model's ${end} is uint8 without a scale, so its codes stand for nothing the page `
        + "knows. Quantize the model with a representative dataset.",
    );
  }
}

function requireFixed({ shape }) {
  if (shape.some((n) => n < 1)) {
    throw modelError(
      `This model's batch is dynamic: its input has the shape ${written(shape)}, and LiteRT.js `
        + "needs every size in advance. Export it with a batch of one: "
        + "sources.save(model, folder, batch_size=1).",
    );
  }
}

function requireShapes({ input, output }) {
  if (elements(input.shape) !== PIXELS) {
    throw modelError(
      `This model's input has the shape ${written(input.shape)}. The page gives a digit of `
        + `[1, 28, 28, 1]: the input needs that shape, or another one of ${PIXELS} values.`,
    );
  }
  const last = output.shape.at(-1);
  if (last !== CLASSES || elements(output.shape) !== CLASSES) {
    throw modelError(
      `This model's output has the shape ${written(output.shape)}. The page needs ten numbers, `
        + "one for each digit: [1, 10].",
    );
  }
}
