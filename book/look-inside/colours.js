/**
 * The colours of the maps, as in lesson 9: what is above zero is orange, what is below violet, and
 * the more so the further it is away. Zero shows the page's own colour, light or dark.
 */
const ABOVE = [213, 94, 0];
const BELOW = [118, 82, 214];

const STRONGEST = 230; // of 255
const BEHIND_TEXT = 135; // text of the page's colour is still easy to read on it

/** @returns {(real: number) => [number, number, number, number]} a colour with 0..255 of opacity */
export function scaleOf(largest, strongest = STRONGEST) {
  return (real) => {
    const strength = Math.min(1, Math.abs(real) / (largest || 1));
    return [...(real < 0 ? BELOW : ABOVE), Math.round(strongest * strength ** 0.8)];
  };
}

/** The same for style sheets, and paler where a text is to stand on it. */
export function cssScaleOf(largest, behindText) {
  const scale = scaleOf(largest, behindText ? BEHIND_TEXT : STRONGEST);
  return (real) => {
    const [r, g, b, a] = scale(real);
    return `rgb(${r} ${g} ${b} / ${(a / 255).toFixed(3)})`;
  };
}
