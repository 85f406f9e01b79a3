/** The slider that makes one layer's range too narrow or too wide, and what it says. */
import { byId } from "./dom.js";
import { LIMITS } from "./engine/file.js";
import { integer, real } from "./numbers.js";

export class SpoilView {
  /** @param {(factor: number) => void} onFactor of the open layer's range; 1 is as calibrated */
  constructor(onFactor) {
    this.slider = byId("spoil");
    this.slider.addEventListener("input", () => onFactor(2 ** this.slider.valueAsNumber));
    byId("spoil-undo").addEventListener("click", () => onFactor(1));
  }

  /**
   * @param {import("./model.js").Model} model
   * @param {object} layer the open one
   * @param {{layer: object, factor: number} | null} spoil
   */
  show(model, layer, spoil) {
    const here = model.canSpoil(layer);
    const factor = spoil?.layer === layer ? spoil.factor : 1;
    this.slider.disabled = !here;
    this.slider.value = Math.log2(factor);
    this.slider.setAttribute("aria-valuetext", factor === 1 ? "as calibrated" : times(factor));
    byId("spoil-undo").setAttribute("aria-disabled", String(!spoil));
    byId("spoil-says").textContent = spoil ? says(model, spoil) : offers(layer, here);
  }
}

function offers(layer, here) {
  if (here) return "The range is as calibrated. Make it too narrow, to the left, or too wide.";
  return `${layer.name} has the scale of the layer before it, or a fixed one: open another.`;
}

function says(model, { layer, factor }) {
  const { saturated, size } = model.facts(layer);
  const [, high] = LIMITS[model.tensor(layer).dtype];
  const clipped = factor < 1
    ? ` ${integer(saturated)} of ${integer(size)} codes are ${high}, the end of the range.`
    : " Fewer codes are left for what occurs, and the steps are coarser.";
  const { now, inFile } = model.verdicts;
  const [answer, before] = [now, inFile].map(({ best, value }) => `${best} (${real(value)})`);
  return `The range of ${layer.name} is ${times(factor)}.${clipped} The answer is ${answer} in `
    + `place of ${before}.`;
}

function times(factor) {
  const number = (factor < 1 ? 1 / factor : factor).toPrecision(3).replace(/\.?0+$/, "");
  return factor < 1 ? `${number} times too narrow` : `${number} times too wide`;
}
