/**
 * Brings a drawing to the form of MNIST's images: its bounding box scaled to 20×20 with the aspect
 * kept, in a field of 28×28 whose middle is the drawing's centre of mass, ink 255 on paper 0.
 *
 * A drawing is a list of strokes, a stroke a list of points [x, y]. The strokes are painted anew
 * at the scale of the 28×28 pixels, with a pen as thick as MNIST's, so a small drawing and a large
 * one give the same image.
 */

export const SIZE = 28;
const BOX = 20;
const PEN_RADIUS = 1.4; // pixels: MNIST's strokes are about 3 pixels wide
const MIDDLE = 14.5; // where the centre of mass of MNIST's images lies, in pixels from the edge

/**
 * @param {number[][][]} strokes in any unit, y downwards
 * @returns {Uint8Array} 28×28 pixels in rows, 0..255; all 0 where nothing is drawn
 */
export function toMnist(strokes) {
  const points = strokes.flat();
  if (points.length === 0) return new Uint8Array(SIZE * SIZE);
  const fitted = move(strokes, fitToBox(points));
  const [x, y] = centreOfMass(paint(fitted));
  const centre = ([px, py]) => [px + MIDDLE - x, py + MIDDLE - y];
  return paint(move(fitted, centre));
}

/** @param {Uint8Array} pixels @returns {Float32Array} pixels / 255, as in training */
export function toUnit(pixels) {
  return Float32Array.from(pixels, (value) => value / 255);
}

const move = (strokes, place) => strokes.map((stroke) => stroke.map(place));

/** The map that scales the points so that their ink fills the box in the middle of the field. */
function fitToBox(points) {
  const [left, right] = range(points.map(([x]) => x));
  const [top, bottom] = range(points.map(([, y]) => y));
  const extent = Math.max(right - left, bottom - top);
  const scale = extent > 0 ? (BOX - 2 * PEN_RADIUS) / extent : 1;
  const middle = [(left + right) / 2, (top + bottom) / 2];
  return ([x, y]) => [SIZE / 2 + (x - middle[0]) * scale, SIZE / 2 + (y - middle[1]) * scale];
}

const range = (values) => values.reduce(
  ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
  [Infinity, -Infinity],
);

/** @returns {[number, number]} x and y, in pixels from the left and upper edge */
function centreOfMass(pixels) {
  let [mass, x, y] = [0, 0, 0];
  pixels.forEach((value, i) => {
    mass += value;
    x += value * ((i % SIZE) + 0.5);
    y += value * (Math.floor(i / SIZE) + 0.5);
  });
  return [x / mass, y / mass];
}

function paint(strokes) {
  const pixels = new Uint8Array(SIZE * SIZE);
  for (const stroke of strokes) {
    stroke.forEach((point, i) => paintSegment(pixels, stroke[Math.max(0, i - 1)], point));
  }
  return pixels;
}

/** Paint the pixels near a segment: full ink inside of the pen's width, one soft pixel around. */
function paintSegment(pixels, from, to) {
  const reach = PEN_RADIUS + 0.5;
  const [left, right] = pixelRange(from[0], to[0], reach);
  const [top, bottom] = pixelRange(from[1], to[1], reach);
  for (let row = top; row <= bottom; row += 1) {
    for (let column = left; column <= right; column += 1) {
      const gap = distance([column + 0.5, row + 0.5], from, to);
      const ink = Math.round(255 * Math.min(1, Math.max(0, reach - gap)));
      const i = row * SIZE + column;
      pixels[i] = Math.max(pixels[i], ink);
    }
  }
}

function pixelRange(a, b, reach) {
  const first = Math.floor(Math.min(a, b) - reach);
  const last = Math.ceil(Math.max(a, b) + reach);
  return [Math.max(0, first), Math.min(SIZE - 1, last)];
}

/** The distance of a point from the segment between `from` and `to`. */
function distance([x, y], from, to) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const squared = dx * dx + dy * dy;
  const along = squared && ((x - from[0]) * dx + (y - from[1]) * dy) / squared;
  const t = Math.min(1, Math.max(0, along));
  return Math.hypot(x - from[0] - t * dx, y - from[1] - t * dy);
}
