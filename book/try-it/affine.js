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
  return Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
}

/**
 * @param {Float32Array} values real numbers, any length
 * @param {number} scale a float32 number above 0
 * @param {number} zeroPoint 0..255
 * @returns {Uint8Array} the codes, one for each value; what lies outside saturates
 */
export function quantize(values, scale, zeroPoint) {
  return Uint8Array.from(values, (value) => {
    const code = roundHalfAway(Math.fround(value / scale)) + zeroPoint;
    return Math.min(255, Math.max(0, code));
  });
}

/**
 * @param {Uint8Array} codes
 * @param {number} scale a float32 number above 0
 * @param {number} zeroPoint 0..255
 * @returns {Float32Array} the real numbers that the codes stand for
 */
export function dequantize(codes, scale, zeroPoint) {
  return Float32Array.from(codes, (code) => (code - zeroPoint) * scale);
}
