/**
 * The drawing pad: a mouse, a finger, a pen or the keyboard draw strokes on it.
 *
 * Its strokes are lists of points in a square of 280 units. They are an SVG path, so the page's
 * colours hold for them and they stay sharp on every screen.
 */
const EXTENT = 280;
const STEP = 10;
const FINE_STEP = 2;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const clamp = (value) => Math.min(EXTENT, Math.max(0, value));

export class Pad {
  /**
   * @param {HTMLElement} root with the parts `.ink` (path) and `.pen` (circle)
   * @param {object} listeners
   * @param {() => void} listeners.changed after each change of `strokes`
   * @param {() => void} listeners.ended when a stroke is complete
   * @param {(text: string) => void} listeners.said what a screen reader should say
   */
  constructor(root, listeners) {
    this.root = root;
    this.ink = root.querySelector(".ink");
    this.penMark = root.querySelector(".pen");
    this.listeners = listeners;
    this.strokes = [];
    this.pen = [EXTENT / 2, EXTENT / 2];
    this.pointer = null; // the id of the one that draws
    this.penDown = false; // the keyboard's
    this.waiting = [];
    this.listen();
    this.draw();
  }

  clear() {
    this.strokes = [];
    this.liftPen();
    this.draw();
  }

  /** Resolves when no pointer is drawing. */
  idle() {
    if (this.pointer === null) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  listen() {
    const on = (type, handle) => this.root.addEventListener(type, (event) => handle(event));
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.drag(event));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      on(type, (event) => this.release(event));
    }
    on("keydown", (event) => this.key(event));
    on("blur", () => this.liftPen());
  }

  press(event) {
    if (event.button !== 0 || this.pointer !== null) return;
    this.pointer = event.pointerId;
    this.root.setPointerCapture(event.pointerId);
    this.liftPen();
    this.begin(this.point(event));
  }

  drag(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    (events.length ? events : [event]).forEach((part) => this.extend(this.point(part)));
  }

  release(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.waiting.splice(0).forEach((resolve) => resolve());
    this.listeners.ended();
  }

  point({ clientX, clientY }) {
    const { left, top, width, height } = this.root.getBoundingClientRect();
    return [((clientX - left) / width) * EXTENT, ((clientY - top) / height) * EXTENT].map(clamp);
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.movePen(arrow, event.shiftKey ? FINE_STEP : STEP);
    else if (event.key === " ") this.togglePen();
    else if (event.key === "Escape" && this.penDown) this.togglePen();
    else return;
    event.preventDefault(); // the page must not scroll
    event.stopPropagation(); // nor the theme turn it
  }

  movePen([dx, dy], step) {
    this.pen = [clamp(this.pen[0] + dx * step), clamp(this.pen[1] + dy * step)];
    if (this.penDown) this.extend(this.pen);
    else this.draw();
  }

  togglePen() {
    this.penDown = !this.penDown;
    this.listeners.said(this.penDown ? "Pen down." : "Pen up.");
    if (this.penDown) this.begin(this.pen);
    else this.listeners.ended();
    this.draw();
  }

  liftPen() {
    if (!this.penDown) return;
    this.penDown = false;
    this.draw();
  }

  begin(point) {
    this.strokes.push([point]);
    this.changed();
  }

  extend(point) {
    const stroke = this.strokes.at(-1);
    if (!stroke) return this.begin(point); // cleared while the pen was down
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < 1) return undefined; // no visible step
    stroke.push(point);
    return this.changed();
  }

  changed() {
    this.listeners.changed();
    this.draw();
  }

  draw() {
    const line = (stroke) => `M${[stroke[0], ...stroke].join("L")}`; // one point alone: a dot
    this.ink.setAttribute("d", this.strokes.map(line).join(""));
    this.penMark.setAttribute("transform", `translate(${this.pen})`);
    this.root.classList.toggle("pen-down", this.penDown);
  }
}
