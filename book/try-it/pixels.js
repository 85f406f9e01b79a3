/** Pixels on a canvas of 28×28. */
import { SIZE } from "./preprocess.js";

/** White ink on black, as MNIST has it. @param {Uint8Array} pixels (784,) */
export function paintWhiteOnBlack(canvas, pixels) {
  paint(canvas, pixels, (value) => [value, value, value, 255]);
}

/** Black ink on nothing, so that the page's background shows. @param {Uint8Array} pixels (784,) */
export function paintInk(canvas, pixels) {
  paint(canvas, pixels, (value) => [0, 0, 0, value]);
}

function paint(canvas, pixels, colour) {
  const data = Uint8ClampedArray.from(Array.from(pixels, colour).flat());
  canvas.getContext("2d").putImageData(new ImageData(data, SIZE, SIZE), 0, 0);
}
