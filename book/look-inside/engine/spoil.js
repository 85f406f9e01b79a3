/** When calibration has seen a wrong range: the model with another scale in one place. */
import { roundHalfAway } from "../../try-it/affine.js";
import { WEIGHTED } from "./graph.js";

/** Operators that bring their result to a scale of its own; the others hand on their input's. */
const RESCALES = [...WEIGHTED, "ADD", "SUB", "MUL", "MEAN", "RELU"];

/** Operators that hand on codes; CONCATENATION wants the same scale of all that it joins. */
const HANDS_ON = [
  "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "PAD",
];

/** @returns {boolean} whether the range of an operator's output can be spoiled by itself */
export function canSpoil(model, op) {
  if (!RESCALES.includes(op.name)) return false;
  const followers = sharers(model, op.outputs[0]);
  return !model.operators.some(({ name, inputs }) => (
    name === "CONCATENATION" && inputs.some((tensor) => followers.has(tensor))
  ));
}

/** The tensors that have the scale of this one, because their codes come from it. */
function sharers(model, tensor) {
  const found = new Set([tensor]);
  for (const { name, inputs, outputs } of model.operators) {
    if (HANDS_ON.includes(name) && found.has(inputs[0])) found.add(outputs[0]);
  }
  return found;
}

/**
 * @param {import("./file.js").Model} model
 * @param {import("./file.js").Tensor} tensor the output of an operator that `canSpoil` allows
 * @param {number} factor of the range: below 1 too narrow, above 1 too wide
 * @returns {import("./file.js").Model} with the scale of the tensor, and of those that share it,
 * times the factor, and the biases behind it rounded anew: their scale holds the input's
 */
export function spoiled(model, tensor, factor) {
  const changed = new Map();
  const scaled = ({ scale }) => scale.map((value) => value * factor);
  for (const one of sharers(model, tensor)) changed.set(one, { ...one, scale: scaled(one) });
  for (const { name, inputs } of model.operators) {
    const bias = WEIGHTED.includes(name) && changed.has(inputs[0]) && inputs[2];
    if (bias) {
      const value = Int32Array.from(bias.value, (code) => roundHalfAway(code / factor));
      changed.set(bias, { ...bias, scale: bias.scale && scaled(bias), value });
    }
  }
  const now = (one) => (one && changed.get(one)) ?? one;
  return {
    ...model,
    operators: model.operators.map((op) => (
      { ...op, inputs: op.inputs.map(now), outputs: op.outputs.map(now) }
    )),
    outputs: model.outputs.map(now),
  };
}
