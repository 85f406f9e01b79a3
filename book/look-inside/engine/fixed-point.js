/**
 * Fixed-point arithmetic as lessons_lib.fixed_point has it: what integer kernels use where
 * mathematics has a real number.
 *
 * A number of JavaScript holds whole numbers up to 2^53 exactly. An accumulator of 32 bits times a
 * multiplier of 31 would need 63: `highMultiply` splits the multiplier, so that every product stays
 * below 2^48, and no bit is lost. `>>` works on 32 bits, so larger numbers are divided instead.
 */
import { roundHalfAway } from "../../try-it/affine.js";

/** Round to the nearest whole number, ties to the even one, as NumPy's rint. */
export function roundHalfEven(x) {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/**
 * `a * b / 2^31`, rounded to the nearest integer, ties up; gemmlowp's
 * SaturatingRoundingDoublingHighMul.
 *
 * @param {number} a an integer of about 32 bits
 * @param {number} b an int32
 */
export function highMultiply(a, b) {
  const upper = b >> 16; // b = upper * 2^16 + lower
  const lower = b & 0xffff;
  const carry = Math.floor((a * lower) / 2 ** 16); // what lies below it cannot matter
  return Math.floor((a * upper + carry + 2 ** 14) / 2 ** 15);
}

/** `x / 2^n`, rounded, ties away from zero; gemmlowp's RoundingDivideByPOT. */
export function shiftTiesAway(x, n) {
  if (n === 0) return x;
  return Math.floor((x + 2 ** (n - 1) - (x < 0 ? 1 : 0)) / 2 ** n);
}

/** `x / 2^n`, rounded, ties up. */
export function shiftTiesUp(x, n) {
  return n === 0 ? x : Math.floor((x + 2 ** (n - 1)) / 2 ** n);
}

/**
 * `acc * multiplier * 2^(shift - 31)`, rounded twice: the first time ties go up, the second time
 * away from zero, or up where `tiesUp`.
 */
export function doubleRounding(acc, multiplier, shift, tiesUp = false) {
  const high = highMultiply(shift > 0 ? acc * 2 ** shift : acc, multiplier);
  return (tiesUp ? shiftTiesUp : shiftTiesAway)(high, Math.max(-shift, 0));
}

/**
 * Write a positive real number as a 31-bit integer times a power of two:
 * `real = multiplier * 2^(shift - 31)`, QuantizeMultiplier of TensorFlow Lite.
 *
 * @returns {{multiplier: number, shift: number}} both 0 for what is below 2^-32
 */
export function multiplierShift(real) {
  let [fraction, shift] = splitFloat(real);
  let multiplier = roundHalfAway(fraction * 2 ** 31);
  if (multiplier === 2 ** 31) [multiplier, shift] = [2 ** 30, shift + 1];
  return shift < -31 || multiplier === 0 ? { multiplier: 0, shift: 0 } : { multiplier, shift };
}

/** C's frexp: `x = fraction * 2^exponent` with the fraction in [0.5, 1). */
export function splitFloat(x) {
  if (x === 0 || !Number.isFinite(x)) return [x, 0];
  let exponent = Math.floor(Math.log2(Math.abs(x))) + 1;
  while (Math.abs(x) >= 2 ** exponent) exponent += 1; // log2 is rounded
  while (Math.abs(x) < 2 ** (exponent - 1)) exponent -= 1;
  return [x / 2 ** exponent, exponent];
}

// exp(-1/4), exp(-1/2), exp(-1), ... exp(-16) in Q0.31
const EXP_OF_MINUS_POWERS = [1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242];
const EXP_OF_MINUS_EIGHTH = 1895147668;
const THIRD = 715827883;
const ONE = 2 ** 31 - 1;

/**
 * `exp(x)` in Q0.31 for `x <= 0` with `integerBits` before the point: a polynomial for the rest
 * below a quarter, then one factor from a table for each bit. gemmlowp's exp_on_negative_values.
 */
export function expOfNegative(x, integerBits = 5) {
  if (x === 0) return ONE;
  if (integerBits > 5 && x < -(32 * 2 ** (31 - integerBits))) return 0;
  const quarterBit = 29 - integerBits;
  const quarter = 2 ** quarterBit;
  const rest = (((x % quarter) + quarter) % quarter) - quarter;
  let result = expOfSmall(rest * 2 ** integerBits);
  const whole = rest - x;
  EXP_OF_MINUS_POWERS.slice(0, integerBits + 2).forEach((factor, i) => {
    const bit = Math.floor(whole / 2 ** (quarterBit + i)) % 2;
    if (bit) result = highMultiply(result, factor);
  });
  return result;
}

/** `exp(x)` for -1/4 <= x < 0, both in Q0.31: Taylor's series of degree 4 about -1/8. */
function expOfSmall(given) {
  const x = given + 2 ** 28;
  const x2 = highMultiply(x, x);
  const x3 = highMultiply(x2, x);
  const x4 = highMultiply(x2, x2);
  const tail = highMultiply(shiftTiesAway(x4, 2) + x3, THIRD) + x2;
  return EXP_OF_MINUS_EIGHTH + highMultiply(x + shiftTiesAway(tail, 1), EXP_OF_MINUS_EIGHTH);
}

/** `1 / (1 + x)` in Q0.31 for 0 <= x < 1 in Q0.31: three steps of Newton. */
export function reciprocalOfOnePlus(x) {
  return Math.min(twoOverOnePlus(x) * 2, ONE);
}

/** `2 / (1 + x)` with two bits before the point. */
function twoOverOnePlus(x) {
  const half = Math.floor((x + 2 ** 31) / 2);
  let result = 1515870810 + highMultiply(half, -1010580540); // 48/17, -32/17
  for (let step = 0; step < 3; step += 1) {
    const error = 2 ** 29 - highMultiply(half, result);
    result += highMultiply(result, error) * 4;
  }
  return result;
}

/** `1 / (1 + exp(-x))` in Q0.31 for x in Q4.27; gemmlowp's logistic. */
export function logistic(x) {
  if (x === 0) return 2 ** 30;
  const upper = reciprocalOfOnePlus(expOfNegative(-Math.abs(x), 4));
  return x > 0 ? upper : ONE - upper;
}

/** `tanh(x)` in Q0.31 for x in Q4.27: with e = exp(-2 |x|) it is 2 / (1 + e) - 1. */
export function tanh(x) {
  const power = expOfNegative(-Math.abs(x), 5); // so read, the number is 2 x
  const right = Math.min((twoOverOnePlus(power) - 2 ** 29) * 4, ONE);
  return Math.sign(x) * Math.max(right, -(2 ** 31));
}
