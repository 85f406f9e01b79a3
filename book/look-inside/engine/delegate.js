/** Which operators the XNNPACK delegate takes over; the others run on LiteRT's builtin kernels. */
const f32 = Math.fround;
const EIGHT_BITS = ["int8", "uint8"];

/** @returns {boolean} whether XNNPACK computes the operator */
export function taken(op) {
  const floats = op.name === "QUANTIZE" && op.input.dtype === "float32";
  const ends = floats ? [op.output] : [op.input, op.output];
  if (ends.some(({ dtype }) => !EIGHT_BITS.includes(dtype))) return false;
  return TAKEN[op.name]?.(op) ?? false;
}

const always = () => true;
const ratio = (a, b) => f32(a.scale[0] / b.scale[0]);
const unpacked = (op) => !op.inputs[1].packed;

/** ADD and SUB. */
function sums(op) {
  return op.inputs.every((side) => {
    const factor = ratio(side, op.output);
    return factor >= 1 / 1024 && factor < 256;
  });
}

function product(op) {
  const [first, second] = op.inputs;
  const factor = f32(f32(first.scale[0] * second.scale[0]) / op.output.scale[0]);
  return factor >= 2 ** -16 && factor < 256;
}

function requantized(op) {
  if (op.input.dtype === "float32") return true;
  const factor = ratio(op.input, op.output);
  return op.input.dtype === op.output.dtype && factor >= 1 / 256 && factor <= 128;
}

const TAKEN = {
  ADD: sums,
  CONV_2D: unpacked,
  DEPTHWISE_CONV_2D: (op) => unpacked(op) && !(op.asymmetric && op.inputs[1].axis),
  FULLY_CONNECTED: always,
  LOGISTIC: always,
  MAX_POOL_2D: always,
  MEAN: always,
  MUL: product,
  QUANTIZE: requantized,
  SUB: sums,
  TANH: always,
};
