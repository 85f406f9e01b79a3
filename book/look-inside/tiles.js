/** Maps of a layer as small pictures, one pixel for each number. */
import { scaleOf } from "./colours.js";
import { layoutOf } from "./layout.js";

const BETWEEN = [128, 128, 128, 110];
const CHOSEN = [0, 114, 178, 255];

/** The size of the number furthest from zero, which has the strongest colour. */
export function largestReal(model, layer) {
  const tensor = model.tensor(layer);
  return model.codes.get(layer.index).data.reduce(
    (most, code) => Math.max(most, Math.abs(model.real(tensor, code))), 0,
  );
}

/**
 * Paint the first channels of a layer side by side, with a line of one pixel around each.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {import("./model.js").Model} model
 * @param {import("./engine/layers.js").Layer} layer
 * @param {object} [wish]
 * @param {number} [wish.most] so many channels at most
 * @param {number} [wish.across] so many in a row; a square where it is left out
 * @param {number} [wish.chosen] the channel to mark
 */
export function paintTiles(canvas, model, layer, { most = Infinity, across, chosen = -1 } = {}) {
  const layout = layoutOf(model.tensor(layer).shape);
  const tiles = Math.min(layout.channels, most);
  const inRow = across ?? Math.ceil(Math.sqrt(tiles));
  const [wide, high] = [layout.columns + 1, layout.rows + 1];
  const image = new ImageData(inRow * wide + 1, Math.ceil(tiles / inRow) * high + 1);
  const corner = (channel) => [(channel % inRow) * wide, Math.floor(channel / inRow) * high];
  const colour = coloursOf(model, layer, layout);
  for (let channel = 0; channel < tiles; channel += 1) {
    if (tiles > 1) frame(image, ...corner(channel), layout, BETWEEN);
    paintMap(image, ...corner(channel), layout, (row, column) => colour(row, column, channel));
  }
  if (chosen >= 0) frame(image, ...corner(chosen), layout, CHOSEN);
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function coloursOf(model, layer, layout) {
  const tensor = model.tensor(layer);
  const { data } = model.codes.get(layer.index);
  const scale = scaleOf(largestReal(model, layer));
  return (row, column, channel) => {
    const index = layout.index(row, column, channel);
    return index < 0 ? [0, 0, 0, 0] : scale(model.real(tensor, data[index]));
  };
}

function paintMap(image, left, top, { rows, columns }, colour) {
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      image.data.set(colour(row, column), 4 * ((top + 1 + row) * image.width + left + 1 + column));
    }
  }
}

/** A line around one map. */
function frame(image, left, top, { rows, columns }, colour) {
  const dot = (x, y) => image.data.set(colour, 4 * ((top + y) * image.width + left + x));
  for (let x = 0; x <= columns + 1; x += 1) [0, rows + 1].forEach((y) => dot(x, y));
  for (let y = 0; y <= rows + 1; y += 1) [0, columns + 1].forEach((x) => dot(x, y));
}

/**
 * Paint one map, and a frame around what a window sees of it.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} places of the layer, all in one channel
 */
export function paintWindow(canvas, model, layer, places) {
  const layout = layoutOf(model.tensor(layer).shape);
  const found = places.map(layout.place);
  const channel = found[0][2];
  const image = new ImageData(layout.columns + 2, layout.rows + 2);
  const colour = coloursOf(model, layer, layout);
  frame(image, 0, 0, layout, BETWEEN);
  paintMap(image, 0, 0, layout, (row, column) => colour(row, column, channel));
  const [rows, columns] = [0, 1].map((axis) => found.map((place) => place[axis]));
  const [top, left] = [Math.min(...rows), Math.min(...columns)];
  const size = { rows: Math.max(...rows) - top + 1, columns: Math.max(...columns) - left + 1 };
  frame(image, left, top, size, CHOSEN);
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(image, 0, 0);
}
