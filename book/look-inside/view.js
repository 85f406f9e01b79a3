/** One output of one layer, as a part of another page: a map, the sum behind it, and the answer. */
import { fileBytes, manifest, testDigits } from "../try-it/digits.js";
import { byId, radios } from "./dom.js";
import { KERNELS } from "./engine/engine.js";
import { layoutOf } from "./layout.js";
import * as link from "./link.js";
import { MapView } from "./map.js";
import { Model } from "./model.js";
import { shape } from "./numbers.js";
import { SumView } from "./sum.js";

const PAGE = new URL("index.html", import.meta.url);
const STYLES = ["../try-it/style.css", "style.css"].map((name) => new URL(name, import.meta.url));

const PARTS = `
<div class="tryit look small">
  <div class="head">
    <p class="verdict" id="look-layer"></p>
    <div class="line">
      <button type="button" id="look-before-digit" aria-label="Previous test digit">◀\uFE0E</button>
      <span id="look-digit"></span>
      <button type="button" id="look-after-digit" aria-label="Next test digit">▶\uFE0E</button>
    </div>
  </div>
  <fieldset id="look-rules" class="choice"><legend>Rounding rules of</legend>
    <div class="line"></div></fieldset>
  <div class="opened">
    <div class="map-side">
      <fieldset id="look-units" hidden><div class="line"></div></fieldset>
      <canvas id="look-map" class="map" tabindex="0" role="application"></canvas>
      <p id="look-here" class="here" role="status"></p>
      <div class="line" id="look-channels">
        <button type="button" id="look-channel-before"
                aria-label="Previous channel">◀\uFE0E</button>
        <label for="look-channel">Channel</label>
        <input type="number" id="look-channel" min="0" step="1" inputmode="numeric">
        <button type="button" id="look-channel-after" aria-label="Next channel">▶\uFE0E</button>
        <span id="look-channel-count" class="hint"></span>
      </div>
      <canvas id="look-strip" class="strip" aria-hidden="true"></canvas>
    </div>
    <div class="sum-side" id="look-sum"></div>
  </div>
  <p class="foot"><a id="look-more">Open it in Look inside</a></p>
</div>`;

export class View {
  /** Use `View.open`. */
  constructor(root, model, digits) {
    Object.assign(this, { model, digits });
    root.innerHTML = PARTS;
    this.map = new MapView((output) => this.show({ output }));
    this.sum = new SumView((tensor, place) => this.follow(tensor, place));
    this.chooseRule = radios("rules", KERNELS.map((name) => [name, name]),
      (rule) => this.compute({ rule }));
    byId("before-digit").addEventListener("click", () => this.turn(-1));
    byId("after-digit").addEventListener("click", () => this.turn(1));
  }

  /**
   * Put a view in the place of what stands in an element.
   *
   * @param {HTMLElement} root with an address in `data-place`
   * @param {boolean} focus the map, because the reader has pressed a button that is gone now
   */
  static async open(root, focus) {
    const styled = Promise.all(STYLES.map(addStyle));
    const { models, digits } = await manifest();
    const { file } = models.find(({ name }) => name === "uint8");
    const [bytes, found] = await Promise.all([fileBytes(file), testDigits(digits), styled]);
    const view = new View(root, new Model("uint8", bytes), found);
    view.begin(link.parse(root.dataset.place));
    if (focus) byId("map").focus();
  }

  begin({ layer, output, rule, digit }) {
    this.layer = this.model.layers.find(({ name }) => name === layer);
    this.output = layoutOf(this.model.tensor(this.layer).shape).at(output);
    this.digit = digit ?? 0;
    this.compute({ rule: rule ?? "reference" });
  }

  compute({ rule = this.model.kernels, digit = this.digit }) {
    this.digit = digit;
    this.model.setRule(rule);
    this.model.answer(this.digits.images[digit]);
    this.chooseRule(rule);
    this.show({});
  }

  turn(by) {
    const count = this.digits.images.length;
    this.compute({ digit: (this.digit + by + count) % count });
  }

  /** Up the graph, to one of the things that an output is made of. */
  follow(tensor, output) {
    const layer = this.model.layers.find(({ index }) => index === tensor);
    if (layer) this.show({ layer, output });
    byId("map").focus({ preventScroll: true });
  }

  show({ layer = this.layer, output = this.output }) {
    Object.assign(this, { layer, output });
    const { model } = this;
    const tensor = model.tensor(layer);
    const where = layoutOf(tensor.shape).coordinates(output);
    this.map.show(model, layer, output);
    this.sum.show(model.explain(layer, output), model);
    byId("layer").textContent = `${layer.name}: ${shape(tensor.shape)} codes of ${tensor.dtype}`;
    byId("digit").textContent = `digit ${this.digit}: the model answers ${model.verdicts.now.best}`;
    const place = { layer: layer.name, output: where, rule: model.kernels, digit: this.digit };
    byId("more").href = PAGE.href + link.format(place);
  }
}

function addStyle(href) {
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  return new Promise((resolve) => {
    sheet.addEventListener("load", resolve);
    document.head.append(sheet);
  });
}
