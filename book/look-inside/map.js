/** The map of one channel of the open layer: its numbers, its colours, and the chosen output. */
import { cssScaleOf } from "./colours.js";
import { byId, radios } from "./dom.js";
import { layoutOf } from "./layout.js";
import { integer, real, short } from "./numbers.js";
import { largestReal, paintTiles } from "./tiles.js";

const ROOM_FOR_NUMBERS = 23; // pixels that a cell needs to hold one
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const PAGES = { PageUp: -1, PageDown: 1 };

export class MapView {
  /** @param {(output: number) => void} onOutput a place in the layer was chosen */
  constructor(onOutput) {
    this.onOutput = onOutput;
    this.canvas = byId("map");
    this.strip = byId("strip");
    this.unit = "codes";
    this.chooseUnit = radios("units", [
      ["codes", "codes"], ["reals", "real numbers"], ["floats", "the float model"],
    ], (unit) => { this.unit = unit; this.draw(); });
    this.chooseUnit(this.unit);
    this.listen();
  }

  listen() {
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.strip.addEventListener("pointerdown", (event) => this.pickChannel(event));
    const field = byId("channel");
    field.addEventListener("change", () => this.goToChannel(Math.round(field.valueAsNumber) || 0));
    byId("channel-before").addEventListener("click", () => this.step(-1));
    byId("channel-after").addEventListener("click", () => this.step(1));
    new ResizeObserver(() => this.draw()).observe(this.canvas.parentElement);
    new MutationObserver(() => this.draw()).observe(
      document.documentElement, { attributeFilter: ["data-theme"] },
    );
  }

  /** @param {import("./model.js").Model} model @param layer of it @param {number} output a place */
  show(model, layer, output) {
    const fresh = layer !== this.layer || model !== this.model;
    Object.assign(this, { model, layer, output });
    if (fresh) this.layout = layoutOf(model.tensor(layer).shape);
    const { channels, columns, rows } = this.layout;
    byId("units-floats").labels[0].textContent = model.hasFloat ? "the float model" : "unrounded";
    byId("channels").hidden = channels === 1;
    this.strip.hidden = channels === 1;
    byId("channel").max = channels - 1;
    byId("channel").value = this.channel;
    byId("channel-count").textContent = `of ${channels}, from 0`;
    this.canvas.style.aspectRatio = `${columns} / ${rows}`;
    this.canvas.setAttribute("aria-label", `Map of ${layer.name}, channel ${this.channel}. Arrow `
      + "keys choose an output, Page Up and Page Down a channel.");
    byId("here").textContent = this.said();
    this.draw();
  }

  /** The chosen output in a sentence. */
  said() {
    const { model, layer, output } = this;
    const code = model.codes.get(layer.index).data[output];
    const reference = model.byReference.get(layer.index).data[output];
    const where = this.layout.coordinates(output).join(", ");
    const other = code === reference ? "" : `; by the reference kernels ${integer(reference)}`;
    return `[${where}]: code ${integer(code)}, stands for `
      + `${real(model.real(model.tensor(layer), code))}${other}`;
  }

  get channel() {
    return this.layout.place(this.output)[2];
  }

  // --- choosing

  key(event) {
    const [row, column, channel] = this.layout.place(this.output);
    const arrow = ARROWS[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey || (!arrow && !PAGES[event.key])) return;
    event.preventDefault(); // the page must not scroll
    event.stopPropagation(); // nor the theme turn it
    if (arrow) this.choose(row + arrow[0], column + arrow[1], channel);
    else this.goToChannel(channel + PAGES[event.key]);
  }

  point(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - top) / height) * this.layout.rows);
    const column = Math.floor(((event.clientX - left) / width) * this.layout.columns);
    this.choose(row, column, this.channel);
  }

  pickChannel(event) {
    const { left, top, width, height } = this.strip.getBoundingClientRect();
    const { rows, columns } = this.layout;
    const x = ((event.clientX - left) / width) * this.strip.width;
    const y = ((event.clientY - top) / height) * this.strip.height;
    const [down, across] = [Math.floor(y / (rows + 1)), Math.floor(x / (columns + 1))];
    this.goToChannel(down * this.across + Math.min(across, this.across - 1));
  }

  step(by) {
    this.goToChannel(this.channel + by);
  }

  goToChannel(wanted) {
    const channel = Math.min(this.layout.channels - 1, Math.max(0, wanted));
    const [row, column] = this.layout.place(this.output);
    this.choose(row, column, channel);
  }

  choose(row, column, channel) {
    const { rows, columns } = this.layout;
    if (row < 0 || column < 0 || row >= rows || column >= columns) return;
    const output = this.layout.index(row, column, channel);
    if (output >= 0) this.onOutput(output);
  }

  // --- drawing

  draw() {
    const wide = this.canvas.clientWidth;
    if (!this.model || !wide) return;
    const cell = wide / this.layout.columns;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(wide * ratio);
    this.canvas.height = Math.round(cell * this.layout.rows * ratio);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    this.ink = getComputedStyle(this.canvas).color;
    this.drawCells(context, cell);
    this.drawChoice(context, cell);
    if (this.layout.channels > 1) {
      this.across = Math.min(this.layout.channels, 8);
      const wish = { across: this.across, chosen: this.channel };
      paintTiles(this.strip, this.model, this.layer, wish);
    }
  }

  drawCells(context, cell) {
    const numbers = cell >= ROOM_FOR_NUMBERS;
    const colour = cssScaleOf(largestReal(this.model, this.layer), numbers);
    const changed = this.changed();
    Object.assign(context, { font: `${Math.min(13, cell * 0.31)}px system-ui, sans-serif`,
      textAlign: "center", textBaseline: "middle" });
    this.eachCell((row, column, index) => {
      const { real, text } = this.number(index);
      const [x, y] = [column * cell, row * cell];
      context.fillStyle = colour(real);
      context.fillRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
      context.fillStyle = this.ink;
      if (numbers) context.fillText(text, x + cell / 2, y + cell / 2);
      if (changed(index)) corner(context, x, y, cell);
    });
  }

  eachCell(visit) {
    const { rows, columns, index } = this.layout;
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const place = index(row, column, this.channel);
        if (place >= 0) visit(row, column, place);
      }
    }
  }

  number(index) {
    const tensor = this.model.tensor(this.layer);
    const code = this.model.codes.get(this.layer.index).data[index];
    const beside = this.model.reals.get(this.layer.index).data[index];
    const real = this.unit === "floats" ? beside : this.model.real(tensor, code);
    return { real, text: this.unit === "codes" ? integer(code) : short(real) };
  }

  /** Which codes differ from those of the reference kernels. */
  changed() {
    const { data } = this.model.codes.get(this.layer.index);
    const reference = this.model.byReference.get(this.layer.index).data;
    return (index) => data[index] !== reference[index];
  }

  drawChoice(context, cell) {
    const [row, column] = this.layout.place(this.output);
    const width = Math.max(2, cell / 12);
    Object.assign(context, { strokeStyle: this.ink, lineWidth: width });
    context.strokeRect(
      column * cell + width / 2, row * cell + width / 2, cell - width, cell - width,
    );
  }
}

/** A black corner: this code differs. */
function corner(context, x, y, cell) {
  const side = Math.max(4, cell / 3);
  context.beginPath();
  context.moveTo(x + cell, y);
  context.lineTo(x + cell, y + side);
  context.lineTo(x + cell - side, y);
  context.fill();
}
