/** What is asked of the models: a drawing, a test digit or nothing, as the pixels that they see. */
import { byId } from "./dom.js";
import { Pad } from "./pad.js";
import { Picker } from "./picker.js";
import { paintInk, paintWhiteOnBlack } from "./pixels.js";
import { toMnist } from "./preprocess.js";

const BLANK = toMnist([]);

export class Input {
  /** (784,) 0..255 */
  pixels = BLANK;

  /**
   * @param {{labels: number[], images: Uint8Array[]}} digits
   * @param {object} listeners
   * @param {() => void} listeners.changed there are other pixels
   * @param {() => void} listeners.ended and no more will come soon
   * @param {(text: string) => void} listeners.said what a screen reader should say
   */
  constructor(digits, listeners) {
    this.digits = digits;
    this.listeners = listeners;
    this.picker = new Picker(digits.images.length, (digit) => this.take(digit));
    const { ended, said } = listeners;
    this.pad = new Pad(byId("pad"), { changed: () => this.takeDrawing(), ended, said });
    byId("clear").addEventListener("click", () => this.clear());
  }

  get isBlank() {
    return this.pixels.every((value) => value === 0);
  }

  /** @param {number} digit the position of a test digit */
  take(digit) {
    this.pad.clear();
    this.picker.set(digit);
    const pixels = this.digits.images[digit];
    this.show(pixels, `Test digit ${digit}, labelled ${this.digits.labels[digit]}`, pixels);
    this.listeners.ended();
  }

  takeDrawing() {
    this.show(toMnist(this.pad.strokes), "Your drawing");
  }

  clear() {
    this.pad.clear();
    this.show(BLANK, "Nothing is drawn");
    this.listeners.said("Cleared.");
  }

  /** @param {Uint8Array} onPad the pixels that lie on the pad, where no stroke does */
  show(pixels, description, onPad = BLANK) {
    this.pixels = pixels;
    paintInk(byId("taken"), onPad);
    paintWhiteOnBlack(byId("seen"), pixels);
    byId("source").textContent = description;
    this.listeners.changed();
  }
}
