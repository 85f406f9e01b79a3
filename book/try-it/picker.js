/** Takes one of the test digits: the one before, the next, any, or by its number. */
import { byId } from "./dom.js";

export class Picker {
  /** @param {number} count of digits @param {(digit: number) => void} onPick */
  constructor(count, onPick) {
    this.count = count;
    this.onPick = onPick;
    this.field = byId("digit");
    this.field.max = count - 1;
    const on = (id, step) => byId(id).addEventListener("click", () => this.step(step()));
    on("previous", () => -1);
    on("next", () => 1);
    on("random", () => 1 + Math.floor(Math.random() * (count - 1)));
    this.field.addEventListener("change", () => this.typed());
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.typed(); // the same digit once more is no change
    });
  }

  /** Show a digit's number without picking it. */
  set(digit) {
    this.field.value = digit;
    this.last = digit;
  }

  step(by) {
    this.pick((this.last + by + this.count) % this.count);
  }

  typed() {
    const digit = Math.round(this.field.valueAsNumber);
    this.pick(Number.isNaN(digit) ? this.last : Math.min(this.count - 1, Math.max(0, digit)));
  }

  pick(digit) {
    this.set(digit);
    this.onPick(digit);
  }
}
