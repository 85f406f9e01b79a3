/**
 * The affine map between real numbers and 8-bit codes, with the rounding of lessons_lib.affine:
 *
 *     real = scale * (q - zero_point)        q = clip(round(real / scale) + zero_point, 0, 255)
 *
 * JavaScript calculates in float64. Math.fround after a division or a product rounds it to float32
 * as if it had been calculated there.
 */

/** Round to the nearest whole number, ties away from zero: 0.5 -> 1, -2.5 -> -3. */
export function roundHalfAway(x) {
  const size = Math.abs(x);
  const below = Math.floor(size); // x + 0.5 would send 0.49999999999999994 to 1
  return Math.sign(x) * (size - below < 0.5 ? below : below + 1);
}

/**
 * @param {Float32Array} values real numbers, any length
 * @param {number} scale a float32 number above 0
 * @param {number} zeroPoint 0..255
 * @returns {Uint8Array} the codes, one for each value; what lies outside saturates
 */
export function quantize(values, scale, zeroPoint) {
  return Uint8Array.from(codes(values, scale, zeroPoint, [0, 255]));
}

/** The same for codes of any range. @returns {Int32Array} */
export function codes(values, scale, zeroPoint, [low, high]) {
  return Int32Array.from(values, (value) => {
    const code = roundHalfAway(Math.fround(value / scale)) + zeroPoint;
    return Math.min(high, Math.max(low, code));
  });
}

/**
 * @param {Uint8Array} given codes
 * @param {number} scale a float32 number above 0
 * @param {number} zeroPoint 0..255
 * @returns {Float32Array} the real numbers that the codes stand for
 */
export function dequantize(given, scale, zeroPoint) {
  return Float32Array.from(given, (code) => (code - zeroPoint) * scale);
}
