/** What is known of the pair: agreement on the test digits, sizes, speed. */
import { byId, element } from "./dom.js";
import { integer, microseconds, ratio, size } from "./format.js";
import { paintWhiteOnBlack } from "./pixels.js";
import { compare } from "./survey.js";
import { BATCHES, summary } from "./timing.js";

const SIDES = ["left", "right"];

export class Results {
  /**
   * @param {{labels: number[], images: Uint8Array[]}} digits
   * @param {(digit: number) => void} onDigit asks for a test digit
   */
  constructor(digits, onDigit) {
    this.digits = digits;
    this.onDigit = onDigit;
    this.heads = SIDES.map((key) => byId(`${key}-head-facts`));
    this.bytes = SIDES.map((key) => byId(`${key}-bytes`));
    this.times = SIDES.map((key) => byId(`${key}-time`));
    this.right = SIDES.map((key) => byId(`${key}-right`));
    this.agreement = byId("agreement");
    this.lists = byId("digit-lists");
    this.method = byId("method");
  }

  /** A new pair: what was measured of the last one is no longer true. */
  begin(models) {
    models.forEach(({ name }, i) => {
      this.heads[i].textContent = name;
      this.right[i].textContent = "…";
    });
    this.agreement.textContent = "The models answer the test digits …";
    this.lists.replaceChildren();
    const sizes = models.map((model) => model.bytes.length);
    this.bytes.forEach((cell, i) => {
      const times = sizes[1 - i] / sizes[i];
      cell.replaceChildren(`${integer(sizes[i])} bytes`, ...note(times, "smaller"));
    });
    this.beginTimes();
  }

  beginTimes() {
    this.times.forEach((cell) => cell.replaceChildren("measuring …"));
  }

  /** @param {import("./model.js").Answer[][]} answers @param {string[]} names */
  showSurvey(answers, names) {
    const { labels } = this.digits;
    const { differ, bothWrong, right, largest } = compare(answers, labels);
    const agreed = labels.length - differ.length;
    this.agreement.replaceChildren(
      `${names.join(" and ")} give the same class for `,
      element("strong", {}, `${agreed} of ${labels.length}`),
      " test digits. ",
      largest.size === 0
        ? "All of their outputs are equal."
        : "The largest difference of their outputs, max\u00a0|Δ|, is "
          + `${size(largest.size)} (test digit ${largest.digit}, class ${largest.index}).`,
    );
    this.right.forEach((cell, i) => {
      cell.textContent = `${right[i]} of ${labels.length}`;
    });
    this.lists.replaceChildren(
      ...this.list("They differ on:", differ, answers, names),
      ...this.list("Both give the same wrong class for:", bothWrong, answers, names),
    );
  }

  list(title, positions, answers, names) {
    if (positions.length === 0) return [];
    const items = positions.map((i) => {
      const said = names.map((name, side) => `${name} says ${answers[side][i].best}`).join(", ");
      return element("li", {}, this.button(i, `labelled ${this.digits.labels[i]}, ${said}`));
    });
    return [element("h3", {}, title), element("ul", { className: "digits" }, ...items)];
  }

  button(digit, description) {
    const picture = element("canvas", { width: 28, height: 28, ariaHidden: "true" });
    paintWhiteOnBlack(picture, this.digits.images[digit]);
    const text = element("span", {}, element("strong", {}, `Digit ${digit}`), `: ${description}`);
    const button = element("button", { type: "button" }, picture, text);
    button.addEventListener("click", () => this.onDigit(digit));
    return button;
  }

  /** @param {{runs: number, microseconds: number[]}[]} timed */
  showTimes(timed) {
    const spreads = timed.map((entry) => summary(entry.microseconds));
    const [a, b] = spreads;
    const apart = a.high < b.low || b.high < a.low;
    this.times.forEach((cell, i) => {
      const times = spreads[1 - i].median / spreads[i].median;
      cell.replaceChildren(...time(spreads[i]), ...(apart ? note(times, "faster") : []));
    });
    const runs = timed.map((entry) => integer(entry.runs)).join(" and ");
    this.method.textContent = [
      `One thread, in this browser, on this machine: the median of ${BATCHES} batches, and in`,
      `brackets the range of their middle half. A batch has ${runs} runs; the models take turns,`,
      "and the call from JavaScript is counted. Another round may give other times: measure again",
      "before you believe a small difference.",
      apart ? "" : "The two ranges overlap: neither model is surely faster.",
    ].join(" ");
  }

  failTimes() {
    this.times.forEach((cell) => cell.replaceChildren("not measured"));
  }
}

function time({ low, median, high }) {
  const spread = `(${microseconds(low)}–${microseconds(high)})`;
  return [`${microseconds(median)} µs `, element("span", { className: "spread" }, spread)];
}

/** Such as "3.6x smaller", for whichever side it is true of. */
function note(times, word) {
  return times >= 1.05 ? [element("span", { className: "note" }, `${ratio(times)} ${word}`)] : [];
}
