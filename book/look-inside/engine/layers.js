/** The layers of a model, as the page shows them: one for each input and each operator. */

/**
 * @typedef {object} Layer
 * @property {string} name no other layer has it
 * @property {string} operator such as "CONV_2D"; "" for an input
 * @property {number} index of its tensor
 * @property {number} place of its operator among the model's, -1 for an input
 */

/** @param {import("./file.js").Model} model @returns {Layer[]} in the order of execution */
export function layersOf(model) {
  const inputs = model.inputs.map(({ index }) => (
    { base: "input", operator: "", index, place: -1 }
  ));
  const operators = model.operators.map(({ name, outputs: [{ index, name: tensor }] }, place) => (
    { base: layerName(tensor) ?? name.toLowerCase(), operator: name, index, place }
  ));
  const taken = new Map();
  return [...inputs, ...operators].map(({ base, ...layer }) => {
    const count = (taken.get(base) ?? 0) + 1;
    taken.set(base, count);
    return { name: count > 1 ? `${base}_${count}` : base, ...layer };
  });
}

// How the operators are called that have weights, and what may be fused behind them.
const WEIGHTY = /conv|matmul|depthwise/i;
const AFTERWARDS = /relu|biasadd|tanh|sigmoid|squeeze/i;

/**
 * The Keras layer in a tensor's name, `model_1/conv1_1/Relu;model_1/conv1_1/BiasAdd`: conv1. Of
 * what was fused it is the one with weights; the number that Keras adds to a scope is taken off.
 *
 * @returns {string | null} null where the name speaks of no layer
 */
function layerName(tensor) {
  const paths = tensor.split(";").map((path) => path.split("/")).filter(({ length }) => length > 1);
  if (paths.length === 0) return null;
  const chosen = paths.find((path) => WEIGHTY.test(path.at(-1)))
    ?? paths.find((path) => !AFTERWARDS.test(path.at(-1)))
    ?? paths[0];
  return chosen.length === 2 ? chosen[1] : chosen[1].replace(/_\d+$/, "");
}
