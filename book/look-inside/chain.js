/** The layers as buttons, each with a small picture of its maps. */
import { byId, element } from "./dom.js";
import { decibels, integer, shape } from "./numbers.js";
import { paintTiles } from "./tiles.js";

const MOST_TILES = 16; // of the channels of a layer, in its picture

export class Chain {
  /** @param {(layer: import("./engine/layers.js").Layer) => void} onOpen */
  constructor(onOpen) {
    this.onOpen = onOpen;
    this.root = byId("chain");
  }

  /** Buttons for the layers of a model. */
  begin(model) {
    this.links = model.layers.map((layer) => new Link(layer, () => this.onOpen(layer)));
    this.root.replaceChildren(...this.links.map(({ root }) => root));
  }

  /** @param {import("./model.js").Model} model @param {boolean} spoiled */
  show(model, spoiled) {
    this.links.forEach((link) => link.show(model, spoiled));
  }

  /** Mark the layer that is open. */
  mark(layer) {
    this.links.forEach((link) => link.mark(link.layer === layer));
  }
}

class Link {
  constructor(layer, open) {
    this.layer = layer;
    this.picture = element("canvas", { ariaHidden: "true" });
    this.about = element("span", { className: "about" });
    this.news = element("span", { className: "news" });
    const words = element("span", { className: "words" },
      element("strong", {}, layer.name), this.about, this.news);
    this.button = element("button", { type: "button" }, this.picture, words);
    this.button.addEventListener("click", open);
    this.root = element("li", {}, this.button);
  }

  mark(open) {
    if (open) this.button.setAttribute("aria-current", "true");
    else this.button.removeAttribute("aria-current");
  }

  show(model, spoiled) {
    const tensor = model.tensor(this.layer);
    const { size, changed, moved, sqnr } = model.facts(this.layer);
    this.about.textContent = `${this.layer.operator || tensor.dtype} ${shape(tensor.shape)}`;
    const news = [];
    if (changed) news.push(`${integer(changed)} differ`);
    if (spoiled && moved) news.push(`${Math.ceil((100 * moved) / size)} % moved`);
    news.push(decibels(sqnr));
    this.news.textContent = news.join(" · ");
    this.news.classList.toggle("loud", changed > 0 || (spoiled && moved > 0));
    paintTiles(this.picture, model, this.layer, { most: MOST_TILES });
  }
}
