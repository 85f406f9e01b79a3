/** The head of one side: its model or the reader's own file, its answer, and what is wrong. */
import { byId, element } from "./dom.js";
import { ModelError } from "./errors.js";
import { percent } from "./format.js";

const OWN = "own";
const LESSON = "../notebooks/14_run_browser.html";

/**
 * @typedef {object} Source a model that can be opened
 * @property {string} key the value of its option
 * @property {string} name
 * @property {string} title what kind of model it is
 * @property {() => Promise<Uint8Array>} read its bytes
 */

export class Side {
  /**
   * @param {"left" | "right"} key
   * @param {Source[]} sources the course's models
   * @param {{name: string, reason: string}[]} refused its paths that no browser can run, and why:
   *   the reader should know of them
   * @param {(source: Source) => void} onChoice
   */
  constructor(key, sources, refused, onChoice) {
    const part = (name) => byId(`${key}-${name}`);
    this.root = part("side");
    this.select = part("model");
    this.file = part("file");
    this.title = part("title");
    this.alert = part("alert");
    this.best = part("best");
    this.sure = part("sure");
    this.sources = new Map(sources.map((source) => [source.name, source]));
    this.onChoice = onChoice;
    this.shown = null; // the source whose model is loaded
    this.fill(sources, refused);
    this.listen();
  }

  fill(sources, refused) {
    const options = sources.map(({ name }) => element("option", { value: name }, name));
    const others = refused.map(({ name, reason }) => (
      element("option", { value: name, disabled: true }, `${name}: ${reason}`)
    ));
    this.select.replaceChildren(...options, ...others);
  }

  listen() {
    this.select.addEventListener("change", () => this.choose(this.select.value));
    this.file.addEventListener("change", () => {
      this.openFile(this.file.files[0]);
      this.file.value = ""; // so that the same file can be opened again
    });
    this.root.addEventListener("dragover", (event) => event.preventDefault());
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      this.openFile(event.dataTransfer.files[0]);
    });
  }

  /** @param {string} key the value of an option */
  choose(key) {
    this.select.value = key;
    this.onChoice(this.sources.get(key));
  }

  openFile(file) {
    if (!file) return;
    const read = async () => new Uint8Array(await file.arrayBuffer());
    const base = file.name.replace(/\.tflite$/i, "");
    const name = this.sources.has(base) ? `${base} (your own)` : base; // beside the course's
    this.onChoice({ key: OWN, name, title: "your own file", read });
  }

  /** A model is on its way. */
  expect({ name }) {
    this.alert.replaceChildren();
    this.root.ariaBusy = "true";
    this.title.textContent = `Loading ${name} …`;
  }

  /** The model of this source is loaded. */
  show(source) {
    if (source.key === OWN) this.offer(source);
    this.shown = source;
    this.alert.replaceChildren(); // an earlier choice may have been refused in the meantime
    this.settle();
  }

  /** Keep a file of the reader's own among the options. */
  offer(source) {
    this.sources.set(OWN, source);
    this.select.querySelector(`[value="${OWN}"]`)?.remove();
    this.select.append(element("option", { value: OWN }, `${source.name} (your own)`));
  }

  /** Say what is wrong with the model that was asked for; the one before stays. */
  refuse({ name }, error) {
    const lesson = element("a", { href: LESSON }, "lesson 14");
    const more = error instanceof ModelError ? [" More in ", lesson, "."] : [];
    this.alert.replaceChildren(element("strong", {}, name), ": ", error.message, ...more);
    this.settle();
  }

  settle() {
    this.root.ariaBusy = "false";
    if (!this.shown) return;
    this.select.value = this.shown.key;
    this.title.textContent = this.shown.title;
  }

  /** @param {import("./model.js").Answer | null} answer null where nothing is drawn */
  say(answer) {
    const known = answer && answer.best >= 0;
    this.best.textContent = known ? answer.best : "–";
    this.sure.textContent = known ? percent(answer.values[answer.best]) : "";
  }
}
