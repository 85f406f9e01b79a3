/** Ties the parts of the page together: what is open, and what follows when that changes. */
import { fileBytes, manifest, testDigits } from "../try-it/digits.js";
import { ModelError } from "../try-it/errors.js";
import { Input } from "../try-it/input.js";
import { Chain } from "./chain.js";
import { byId, radios } from "./dom.js";
import { KERNELS } from "./engine/engine.js";
import { layoutOf } from "./layout.js";
import * as link from "./link.js";
import { MapView } from "./map.js";
import { Model } from "./model.js";
import { decibels, integer, real, shape } from "./numbers.js";
import { SpoilView } from "./spoil-view.js";
import { SumView } from "./sum.js";

const RULES = {
  reference: "LiteRT reference",
  tflm: "TFLite-Micro",
  builtin: "LiteRT builtin",
  xnnpack: "XNNPACK",
};
const FIRST = { layer: "conv2", digit: 0 };
const SPEAK_AFTER_MS = 500;

/** For tests and style: "loading", "ready". */
function setState(state) {
  performance.mark(`look-inside-${state}`);
  document.documentElement.dataset.lookInside = state;
}

class Page {
  constructor(course, digits) {
    this.course = course;
    this.model = course;
    this.chain = new Chain((layer) => this.open(layer));
    this.map = new MapView((output) => this.choose(output));
    this.sum = new SumView((tensor, place) => this.follow(tensor, place));
    this.spoilView = new SpoilView((factor) => this.spoilHere(factor));
    this.chooseRule = radios("rules", KERNELS.map((name) => [name, RULES[name]]),
      (rule) => this.setRule(rule));
    this.input = new Input(digits, {
      changed: () => this.newPixels(), ended: () => this.noteDigit(), said: announce,
    });
    byId("before").addEventListener("click", () => this.openBy(-1));
    byId("after").addEventListener("click", () => this.openBy(1));
    byId("file").addEventListener("change", (event) => this.openFile(event.target));
    byId("course").addEventListener("click", () => this.use(this.course));
    window.addEventListener("popstate", () => this.go(link.parse(location.hash)));
    this.use(course, { ...FIRST, ...said(link.parse(location.hash)) });
  }

  // --- what is open

  /** @param {Model} model @param {link.Place} place of it to open first */
  use(model, place = {}) {
    this.model = model;
    this.spoil = null;
    model.spoil(null, 1);
    byId("course").hidden = model === this.course;
    byId("model").textContent = model === this.course
      ? "The course's model, uint8 at its ends."
      : `${model.name}: ${integer(model.layers.length - model.file.inputs.length)} operators.`;
    this.chain.begin(model);
    [this.layer, this.output] = [null, 0];
    this.go(place);
  }

  /** Go where an address says; what it leaves out stays as it is. */
  go({ layer, output, rule, digit, spoil }) {
    const named = (name) => this.model.layers.find((one) => one.name === name);
    const spoilt = spoil && named(spoil.layer);
    const allowed = spoilt && this.model.canSpoil(spoilt);
    this.spoil = allowed ? { layer: spoilt, factor: spoil.factor } : null;
    this.model.spoil(this.spoil?.layer ?? null, this.spoil?.factor ?? 1);
    this.model.setRule(rule ?? this.model.kernels);
    this.layer = named(layer) ?? this.layer ?? this.model.layers.at(-1);
    this.wanted = output; // until there is a trace to look it up in
    const count = this.input.digits.images.length;
    if (digit !== null && digit !== undefined) this.input.take(Math.min(digit, count - 1));
    else this.newPixels();
  }

  /** A new layer is a step that the browser's button goes back. */
  open(layer, output) {
    const before = this.placeNow();
    this.output = output ?? nearest(this.layouts(this.layer), this.layouts(layer), this.output);
    this.layer = layer;
    history.replaceState(null, "", link.format(before));
    history.pushState(null, "", link.format(this.placeNow()));
    this.showLayer();
  }

  openBy(step) {
    const next = this.model.layers[this.model.layers.indexOf(this.layer) + step];
    if (next) this.open(next);
  }

  /** Up the graph, to one of the things that an output is made of. */
  follow(tensor, place) {
    const layer = this.model.layers.find(({ index }) => index === tensor);
    if (layer) this.open(layer, place);
    byId("map").focus({ preventScroll: true });
  }

  choose(output) {
    this.output = output;
    this.showLayer();
    this.remember();
  }

  // --- what is computed

  newPixels() {
    if (!this.layer) return; // the first pixels come before the first model
    try {
      this.model.answer(this.input.pixels);
      fail(null);
    } catch (error) {
      fail(error);
      return;
    }
    const layout = this.layouts(this.layer);
    const at = this.wanted ? layout.at(this.wanted) : this.output;
    this.output = at >= 0 && at < layout.size ? at : 0;
    if (!this.wanted && !this.chosen) this.output = this.brightest();
    [this.wanted, this.chosen] = [null, true];
    this.showAll();
    this.remember();
  }

  /** Where the open layer has its largest number: something is to be seen there. */
  brightest() {
    const { data } = this.model.codes.get(this.layer.index);
    return data.indexOf(data.reduce((a, b) => Math.max(a, b)));
  }

  noteDigit() {
    announce(byId("answer").textContent);
  }

  setRule(rule) {
    this.model.setRule(rule);
    this.newPixels();
  }

  spoilHere(factor) {
    const layer = factor === 1 ? this.spoil?.layer : this.layer;
    this.spoil = factor === 1 ? null : { layer, factor };
    this.model.spoil(layer, factor);
    this.newPixels();
  }

  async openFile(field) {
    const [file] = field.files;
    field.value = ""; // the same file may be chosen again
    if (!file) return;
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const model = new Model(file.name.replace(/\.tflite$/, ""), bytes);
      model.answer(this.input.pixels); // an operator may refuse only here
      this.chosen = false;
      this.use(model);
    } catch (error) {
      fail(error, file.name);
    }
  }

  // --- what is shown

  layouts(layer) {
    return layoutOf(this.model.tensor(layer).shape);
  }

  showAll() {
    const { now, beside } = this.model.verdicts;
    const other = this.model.hasFloat ? "the float32 model" : "without rounding";
    byId("answer").textContent = `The model answers ${now.best} (${real(now.value)}).`;
    byId("float").textContent = `${other}: ${beside.best} (${real(beside.value)})`;
    this.chooseRule(this.model.kernels);
    byId("differ").textContent = this.differences();
    this.chain.show(this.model, this.spoil !== null);
    this.showLayer();
  }

  differences() {
    if (this.model.kernels === "reference") {
      return "Choose other rules, and the codes that change are counted and marked.";
    }
    const counts = this.model.layers.map((layer) => this.model.facts(layer).changed);
    const sum = counts.reduce((total, n) => total + n);
    if (sum === 0) return "For this image every code is that of the reference kernels.";
    const first = this.model.layers[counts.findIndex((n) => n > 0)].name;
    return `${integer(sum)} codes differ from those of the reference kernels, first in ${first}.`;
  }

  showLayer() {
    const { layer, model, output } = this;
    this.chain.mark(layer);
    this.showHead();
    this.map.show(model, layer, output);
    this.showOutput();
    this.spoilView.show(model, layer, this.spoil);
  }

  showHead() {
    const { layer, model } = this;
    const tensor = model.tensor(layer);
    byId("layer").textContent = layer.name;
    byId("facts").textContent = [
      layer.operator,
      `${shape(tensor.shape)} ${tensor.dtype}`,
      tensor.scale && `scale ${real(tensor.scale[0])}, zero point ${integer(tensor.zeroPoint)}`,
      `SQNR ${decibels(model.facts(layer).sqnr)}`,
    ].filter(Boolean).join(" · ");
    const at = model.layers.indexOf(layer);
    this.nameStep("before", model.layers[at - 1], (name) => `◀\uFE0E ${name}`);
    this.nameStep("after", model.layers[at + 1], (name) => `${name} ▶\uFE0E`);
  }

  nameStep(id, layer, text) {
    byId(id).textContent = layer ? text(layer.name) : text("");
    byId(id).disabled = !layer;
    byId(id).ariaLabel = layer ? `Open ${layer.name}` : "No further layer";
  }

  showOutput() {
    const { layer, model, output } = this;
    const tensor = model.tensor(layer);
    const code = model.codes.get(layer.index).data[output];
    const where = this.layouts(layer).coordinates(output).join(", ");
    byId("output").textContent = `Output [${where}] of ${layer.name}`;
    byId("code").textContent = integer(code);
    byId("real").textContent = real(model.real(tensor, code));
    byId("beside-name").textContent = model.hasFloat ? "the float32 model has" : "without rounding";
    byId("beside").textContent = real(model.reals.get(layer.index).data[output]);
    this.sum.show(model.explain(layer, output), model);
    this.speakSoon();
  }

  speakSoon() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => announce(byId("here").textContent), SPEAK_AFTER_MS);
  }

  // --- the address

  placeNow() {
    const { layer, model, spoil } = this;
    const digit = this.input.pixels === this.input.digits.images[this.input.picker.last]
      ? this.input.picker.last : null;
    return {
      layer: layer.name,
      output: this.layouts(layer).coordinates(this.output),
      rule: model.kernels,
      digit,
      spoil: spoil && { layer: spoil.layer.name, factor: spoil.factor },
    };
  }

  remember() {
    history.replaceState(null, "", link.format(this.placeNow()));
  }
}

/** The parts of a place that an address gives. */
const said = (place) => (
  Object.fromEntries(Object.entries(place).filter(([, value]) => value !== null))
);

/** The output of another layer that lies where this one does, as far as both have places. */
function nearest(from, to, output) {
  const [row, column, channel] = from.place(output);
  const along = (n, length, wanted) => Math.min(wanted - 1, Math.floor((n * wanted) / length));
  const place = to.index(
    along(row, from.rows, to.rows),
    along(column, from.columns, to.columns),
    Math.min(channel, to.channels - 1),
  );
  return Math.max(0, place);
}

function announce(text) {
  byId("status").textContent = text;
}

/** Say what went wrong; null: nothing. */
function fail(error, file = "") {
  if (error && !(error instanceof ModelError)) console.info(error);
  byId("failure").textContent = error ? `${file ? `${file}: ` : ""}${error.message ?? error}` : "";
}

async function main() {
  setState("loading");
  byId("notice").hidden = true;
  byId("app").hidden = false;
  try {
    const { models, digits } = await manifest();
    const file = (name) => fileBytes(models.find((model) => model.name === name).file);
    const [found, uint8, float32] = await Promise.all([
      testDigits(digits), file("uint8"), file("float32"),
    ]);
    self.lookInside = new Page(new Model("uint8", uint8, float32), found); // for the curious
    setState("ready");
  } catch (error) {
    fail(new Error(`The page could not start: ${error.message ?? error}. Reload it; if that does `
      + "not help, build the site anew with make book, and use a browser of 2023 or later."));
  }
}

main();
