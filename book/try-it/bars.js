/** The table of both models' outputs for the current image: bars that meet at the digit. */
import { byId, element } from "./dom.js";
import { difference, probability, size } from "./format.js";
import { CLASSES } from "./model.js";
import { largestDifference } from "./survey.js";

export class Bars {
  constructor() {
    this.heads = ["left", "right"].map((key) => byId(`${key}-head`));
    this.verdict = byId("verdict");
    this.largest = byId("largest");
    this.note = byId("note");
    this.rows = Array.from({ length: CLASSES }, (_, digit) => new Row(digit));
    byId("bars").querySelector("tbody").replaceChildren(...this.rows.map(({ root }) => root));
  }

  /** @param {string[]} names of the two models */
  name(names) {
    this.heads.forEach((head, i) => {
      head.textContent = names[i];
    });
  }

  /** @param {import("./model.js").Answer[] | null} answers left and right */
  show(answers) {
    this.rows.forEach((row) => row.show(answers));
    this.note.hidden = !answers || answers.every(({ values }) => areProbabilities(values));
    if (!answers) {
      this.verdict.textContent = "Draw a digit, and both models answer.";
      this.largest.textContent = "";
      return;
    }
    const [left, right] = answers;
    const { size: largest, index } = largestDifference(left.values, right.values);
    this.verdict.textContent = left.best === right.best
      ? `Both answer ${left.best}.`
      : `They differ: ${left.best} and ${right.best}.`;
    this.largest.textContent = `Largest difference, max |Δ|: ${size(largest)} (class ${index}).`;
  }
}

class Row {
  constructor(digit) {
    this.digit = digit;
    this.cells = ["left", "right"].map((key) => new Bar(key));
    this.difference = element("td", { className: "difference" });
    const [left, right] = this.cells.map(({ root }) => root);
    const head = element("th", { scope: "row" }, String(digit));
    this.root = element("tr", {}, left, head, right, this.difference);
  }

  show(answers) {
    this.cells.forEach((cell, i) => cell.show(answers?.[i], this.digit));
    const [a, b] = answers?.map(({ values }) => values[this.digit]) ?? [];
    this.difference.textContent = answers ? difference(b - a) : "";
  }
}

class Bar {
  constructor(key) {
    this.bar = element("span", { className: "bar" });
    this.number = element("span", { className: "number" });
    const track = element("span", { className: "track" }, this.bar);
    this.root = element("td", { className: key }, element("div", {}, track, this.number));
  }

  show(answer, digit) {
    const value = answer?.values[digit] ?? 0;
    this.bar.style.inlineSize = `${100 * Math.min(1, Math.max(0, value))}%`;
    this.number.textContent = answer ? probability(value) : "";
    this.root.classList.toggle("best", answer?.best === digit);
  }
}

/** Ten numbers of 0..1 whose sum is 1, but for the rounding to codes. */
function areProbabilities(values) {
  const sum = values.reduce((total, value) => total + value, 0);
  return Math.abs(sum - 1) < 0.05 && values.every((value) => value >= -0.01 && value <= 1.01);
}
