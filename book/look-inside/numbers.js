/** Numbers as the page writes them. */
const MINUS = "\u2212";
const signed = (text) => text.replace("-", MINUS);

/** @returns {string} such as −1,234; JavaScript's 0 × −3 is −0 */
export const integer = (value) => signed((value || 0).toLocaleString("en-US"));

/** A text whose numbers get the sign that the others have. */
export const withMinus = (text) => text.replace(/-(?=\d)/g, MINUS);

/** A real number with four digits that count. */
export function real(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) return signed(value.toExponential(3));
  const decimals = Math.min(7, Math.max(0, 3 - Math.floor(Math.log10(size))));
  return signed(value.toLocaleString("en-US", {
    minimumFractionDigits: decimals, maximumFractionDigits: decimals,
  }));
}

/** A real number in as little room as a cell has. */
export function short(value) {
  const size = Math.abs(value);
  return signed(value.toFixed(size >= 10 || size < 0.005 ? 0 : size >= 1 ? 1 : 2));
}

/** @returns {string} such as 31.4 dB */
export const decibels = (value) => (
  Number.isFinite(value) ? `${signed(value.toFixed(1))} dB` : "no error"
);

/** @returns {string} such as 26×26×16, without the batch */
export const shape = (sides) => (sides.length > 1 ? sides.slice(1) : sides).join("×");
