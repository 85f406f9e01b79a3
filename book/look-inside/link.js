/**
 * What is open, in the page's address: `#layer=conv2&output=3,4,5&rule=xnnpack&digit=7`, and
 * `spoil=conv1,0.5` for a range half as wide.
 */
import { KERNELS } from "./engine/engine.js";

/**
 * @typedef {object} Place
 * @property {string | null} layer its name
 * @property {number[] | null} output coordinates without the batch
 * @property {string | null} rule one of KERNELS
 * @property {number | null} digit the number of a test digit
 * @property {{layer: string, factor: number} | null} spoil
 */

/** @param {string} hash @returns {Place} null for what the address does not say, or says wrongly */
export function parse(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const [layer, factor] = said.get("spoil")?.split(",") ?? [];
  const rule = said.get("rule");
  return {
    layer: said.get("layer"),
    output: numbers(said.get("output")),
    rule: KERNELS.includes(rule) ? rule : null,
    digit: numbers(said.get("digit"))?.[0] ?? null,
    spoil: Number(factor) > 0 ? { layer, factor: Number(factor) } : null,
  };
}

function numbers(text) {
  const found = text?.split(",").map(Number);
  return found?.every((n) => Number.isInteger(n) && n >= 0) ? found : null;
}

/** @param {Place} place @returns {string} the way back */
export function format({ layer, output, rule, digit, spoil }) {
  const parts = { layer, output: output?.join(","), rule, digit };
  if (spoil) parts.spoil = `${spoil.layer},${spoil.factor}`;
  const said = Object.entries(parts).filter(([, value]) => value !== null && value !== undefined);
  return `#${said.map(([key, value]) => `${key}=${encode(value)}`).join("&")}`;
}

/** Commas stay, for readers. */
const encode = (value) => encodeURIComponent(value).replaceAll("%2C", ",");
