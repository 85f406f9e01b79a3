/** Numbers as the page writes them. */

const MINUS = "\u2212";
const THIN_SPACE = "\u2009";

/** A probability: three decimals. */
export const probability = (value) => value.toFixed(3).replace("-", MINUS);

/** @returns {string} such as 99.8 % */
export const percent = (value) => `${(100 * value).toFixed(1)}${THIN_SPACE}%`;

/** The size of a difference: three decimals, or a power of ten where these would be 0. */
export function size(value) {
  if (value === 0 || value >= 0.0005) return value.toFixed(3);
  return value.toExponential(0).replace("-", MINUS);
}

/** A difference with its sign. */
export function difference(value) {
  if (value === 0) return "0";
  return (value < 0 ? MINUS : "+") + size(Math.abs(value));
}

/** @returns {string} such as 230,240 */
export const integer = (value) => value.toLocaleString("en-US");

/** Microseconds, with three digits that count. */
export function microseconds(value) {
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.max(value, 0.1))));
  return `${value.toLocaleString("en-US", { maximumFractionDigits: decimals })}`;
}

/** @returns {string} such as 3.6x */
export const ratio = (value) => `${value.toFixed(value < 10 ? 1 : 0)}x`;
