/** How one output came to be: the terms that one can step to, and the integers down to its code. */
import { cssScaleOf } from "./colours.js";
import { byId, element } from "./dom.js";
import { integer, real, withMinus } from "./numbers.js";
import { paintWindow } from "./tiles.js";

const MOST_COLUMNS = 5; // more than that is no window, and may flow into more rows

export class SumView {
  /** @param {(tensor: number, place: number) => void} onTerm asks for what an output is made of */
  constructor(onTerm) {
    this.onTerm = onTerm;
    this.root = byId("sum");
  }

  /**
   * @param {import("./engine/explain.js").Explanation | null} explanation null for an input
   * @param {import("./model.js").Model} model
   */
  show(explanation, model) {
    if (!explanation) {
      this.root.replaceChildren(element("p", {}, "The model's input: nothing was computed yet."));
      return;
    }
    Object.assign(this, { explanation, model });
    this.page = mostWeighty(explanation.pages);
    this.terms = element("div", { className: "page-of-terms" });
    this.root.replaceChildren(this.terms, ladder(explanation.steps));
    this.showPage();
  }

  showPage() {
    const { pages } = this.explanation;
    const page = pages[this.page];
    const largest = Math.max(...page.terms.map(colourOf).map(Math.abs));
    const colour = cssScaleOf(largest, true);
    const cells = page.terms.map((term) => this.cell(term, colour));
    const grid = element("div", { className: "terms" }, ...cells);
    grid.classList.toggle("flowing", page.columns > MOST_COLUMNS);
    grid.style.setProperty("--columns", page.columns);
    const window = element("div", { className: "window" }, grid, ...this.picture(page));
    this.terms.replaceChildren(this.title(pages, page), window);
  }

  /** The map that the terms lie in, where it is one. */
  picture({ terms }) {
    const inside = terms.filter(({ index }) => index >= 0);
    const layer = this.source(inside[0]);
    const one = new Set(inside.map(({ tensor }) => tensor.index)).size === 1;
    if (!layer || !one || this.model.tensor(layer).shape.length !== 4) return [];
    const canvas = element("canvas", { role: "img", ariaLabel: `Where they lie in ${layer.name}` });
    paintWindow(canvas, this.model, layer, inside.map(({ index }) => index));
    return [canvas];
  }

  /** The layer that a term comes from; none for a constant. */
  source(term) {
    return this.model.layers.find(({ index }) => index === term?.tensor.index);
  }

  title(pages, page) {
    const products = page.terms.map(({ product }) => product);
    const part = products[0] === undefined ? ""
      : `, which add ${integer(products.reduce((sum, n) => sum + n, 0))}`;
    const from = this.source(page.terms[0])?.name ?? "a constant";
    const text = element("span", {}, `From ${from}: ${page.name}${part}`);
    if (pages.length === 1) return element("p", { className: "line" }, text);
    return element("p", { className: "line" }, this.turn(-1, "◀"), this.turn(1, "▶"), text);
  }

  turn(by, sign) {
    const { pages } = this.explanation;
    const ariaLabel = by < 0 ? "Terms before" : "More terms";
    const button = element("button", { type: "button", ariaLabel }, `${sign}\uFE0E`);
    button.addEventListener("click", () => {
      this.page = (this.page + by + pages.length) % pages.length;
      this.showPage();
      this.root.querySelectorAll(".page-of-terms button")[by < 0 ? 0 : 1].focus();
    });
    return button;
  }

  cell(term, colour) {
    if (term.index < 0) {
      return element("span", { className: "term outside", title: "padding" }, "padding");
    }
    const button = element("button", { type: "button", className: "term" }, ...written(term));
    button.style.background = colour(colourOf(term));
    button.title = described(term);
    button.addEventListener("click", () => this.onTerm(term.tensor.index, term.index));
    return button;
  }
}

const colourOf = ({ product, step }) => product ?? step ?? 0;

function written({ code, step, weight, product }) {
  if (product === undefined) return [element("b", {}, integer(code))];
  const factors = `${integer(step)} × ${integer(weight)}`;
  return [element("small", {}, factors), element("b", {}, integer(product))];
}

function described({ code, step, weight, product, tensor }) {
  if (product === undefined) return `code ${integer(code)}; open it`;
  return `code ${integer(code)} − (${integer(tensor.zeroPoint)}) = ${integer(step)}; × weight `
    + `${integer(weight)} = ${integer(product)}; open it`;
}

/** The page whose terms add the most: there the sum is decided. */
function mostWeighty(pages) {
  const sums = pages.map(({ terms }) => Math.abs(
    terms.reduce((sum, { product = 0 }) => sum + product, 0),
  ));
  return sums.indexOf(Math.max(...sums));
}

function ladder(steps) {
  const rows = steps.map(({ label, value, real: isReal, note = "" }) => element("tr", {},
    element("th", { scope: "row" }, label),
    element("td", { className: isReal ? "real" : "whole" }, (isReal ? real : integer)(value)),
    element("td", { className: "note-cell" }, withMinus(note))));
  rows.at(-1).classList.add("last");
  const caption = element("caption", { className: "spoken" }, "From the terms to the code");
  return element("table", { className: "ladder" }, caption, element("tbody", {}, ...rows));
}
