/**
 * The model that the page takes apart: its codes by one runtime's rules, the codes by the reference
 * rules, and the real numbers beside them. Nothing here touches the document.
 */
import { codes } from "../try-it/affine.js";
import { load, operatorsOf, run } from "./engine/engine.js";
import { explain } from "./engine/explain.js";
import { LIMITS } from "./engine/file.js";
import { layersOf } from "./engine/layers.js";
import { besideFloats } from "./engine/reals.js";
import { canSpoil, spoiled } from "./engine/spoil.js";

const SIDE = 28; // of a digit
const WHOLE_PIXELS = 100; // an input that holds more takes pixels of 0..255, not of 0..1

export class Model {
  /**
   * @param {string} name
   * @param {Uint8Array} bytes a full-integer .tflite
   * @param {Uint8Array | null} floatBytes the float model of the same layers, where there is one
   * @throws {ModelError} when the engine cannot compute it
   */
  constructor(name, bytes, floatBytes = null) {
    this.name = name;
    this.file = load(bytes);
    this.layers = layersOf(this.file);
    this.hasFloat = floatBytes !== null;
    this.toReals = besideFloats(this.file, floatBytes);
    this.spoil(null, 1);
    this.setRule("reference");
  }

  /** The rules of one runtime, by its name. */
  setRule(kernels) {
    this.kernels = kernels;
    this.operators = operatorsOf(this.current, kernels);
    this.reference = operatorsOf(this.current, "reference");
  }

  /** Give a layer's output another range, `factor` times as wide; null: all as in the file. */
  spoil(layer, factor) {
    const op = layer && this.file.operators[layer.place];
    this.current = op && factor !== 1 ? spoiled(this.file, op.outputs[0], factor) : this.file;
    if (this.kernels) this.setRule(this.kernels);
  }

  canSpoil({ place }) {
    return place >= 0 && canSpoil(this.file, this.file.operators[place]);
  }

  /** @param {Uint8Array} pixels (784,) 0..255 */
  answer(pixels) {
    const reals = this.file.inputs.map((tensor) => fitted(tensor, pixels));
    const inputs = this.file.inputs.map((tensor, i) => codesOf(tensor, reals[i]));
    const trace = (operators) => byIndex(run(operators, this.current, inputs));
    this.reals = this.toReals(reals);
    this.codes = trace(this.operators);
    this.byReference = this.kernels === "reference" ? this.codes : trace(this.reference);
    this.asInFile = this.current === this.file
      ? this.codes
      : byIndex(run(operatorsOf(this.file, this.kernels), this.file, inputs));
  }

  /** @param {import("./engine/layers.js").Layer} layer @returns its tensor, as it is now */
  tensor({ place, index }) {
    return place < 0 ? this.file.tensors[index] : this.operators[place].output;
  }

  /** How one output came to be, and where from; null for an input. */
  explain({ place, index }, output) {
    if (place < 0) return null;
    const op = this.operators[place];
    const known = ({ index: i, shape, value }) => this.codes.get(i) ?? { shape, data: value };
    return explain(op, known, this.codes.get(index), output);
  }

  /** What a layer's code stands for. */
  real(tensor, code) {
    return tensor.scale ? tensor.scale[0] * (code - tensor.zeroPoint) : code;
  }

  /**
   * @returns {{size: number, changed: number, moved: number, saturated: number, sqnr: number}}
   * of one layer: all codes, those that differ from the reference kernels', those that are not as
   * in the file, those at the upper end, and the SQNR in dB
   */
  facts(layer) {
    const { data } = this.codes.get(layer.index);
    const tensor = this.tensor(layer);
    const [, high] = LIMITS[tensor.dtype] ?? [];
    const count = (test) => data.reduce((total, code, i) => total + (test(code, i) ? 1 : 0), 0);
    const reference = this.byReference.get(layer.index).data;
    const inFile = this.asInFile.get(layer.index).data;
    return {
      size: data.length,
      changed: count((code, i) => code !== reference[i]),
      moved: count((code, i) => code !== inFile[i]),
      saturated: count((code) => code === high),
      sqnr: this.sqnr(layer, tensor),
    };
  }

  /** The power of the real numbers by that of their errors, in decibels. */
  sqnr({ index }, tensor) {
    const { data } = this.codes.get(index);
    const reals = this.reals.get(index).data;
    let [signal, noise] = [0, 0];
    data.forEach((code, i) => {
      signal += reals[i] ** 2;
      noise += (reals[i] - this.real(tensor, code)) ** 2;
    });
    return 10 * Math.log10(signal / noise);
  }

  /**
   * The class with the largest output, and what its code stands for.
   *
   * @returns {{now: Verdict, inFile: Verdict, beside: Verdict}} of the model as it is, as the file
   * has it, and of the real numbers
   * @typedef {{best: number, value: number}} Verdict
   */
  get verdicts() {
    const [{ index }] = this.file.outputs;
    const verdict = ({ data }, tensor) => {
      const best = data.indexOf(data.reduce((a, b) => Math.max(a, b))); // the first of several
      return { best, value: this.real(tensor, data[best]) };
    };
    return {
      now: verdict(this.codes.get(index), this.current.outputs[0]),
      inFile: verdict(this.asInFile.get(index), this.file.outputs[0]),
      beside: verdict(this.reals.get(index), { scale: null }),
    };
  }
}

const byIndex = (values) => new Map(Array.from(values, ([{ index }, value]) => [index, value]));

/** The digit as this input wants it: of its height and width, in every channel, or in a row. */
function fitted({ shape, dtype, scale, zeroPoint }, pixels) {
  const [high, wide, depth] = shape.length === 4 ? shape.slice(1) : [1, size(shape), 1];
  const whole = scale && scale[0] * (LIMITS[dtype][1] - zeroPoint) > WHOLE_PIXELS;
  return Float32Array.from({ length: size(shape) }, (_, i) => {
    const place = Math.floor(i / depth) % (high * wide);
    const pixel = shape.length === 4
      ? pixelAt(pixels, Math.floor(place / wide) / high, (place % wide) / wide)
      : pixels[Math.floor((place / (high * wide)) * pixels.length)];
    return whole ? pixel : pixel / 255;
  });
}

const size = (shape) => shape.reduce((product, n) => product * n, 1);
const pixelAt = (pixels, y, x) => pixels[Math.floor(y * SIDE) * SIDE + Math.floor(x * SIDE)];

function codesOf({ dtype, scale, zeroPoint }, reals) {
  if (dtype === "float32") return reals;
  return codes(reals, scale[0], zeroPoint, LIMITS[dtype]);
}
