/** What the site serves for the page: the manifest, the models and the test digits. */
import { SIZE } from "./preprocess.js";

const MODELS = new URL("models/", import.meta.url);
const PIXELS = SIZE * SIZE;

/** @param {string} file in the folder models/ @returns {Promise<Response>} */
async function get(file) {
  const response = await fetch(new URL(file, MODELS));
  if (!response.ok) throw new Error(`models/${file} is not there (${response.status})`);
  return response;
}

/** @returns {Promise<object>} as lessons_lib.browser.export wrote it */
export async function manifest() {
  return (await get("manifest.json")).json();
}

/** @param {string} file @returns {Promise<Uint8Array>} */
export async function fileBytes(file) {
  return new Uint8Array(await (await get(file)).arrayBuffer());
}

/**
 * @param {{file: string, labels: number[]}} description from the manifest
 * @returns {Promise<{labels: number[], images: Uint8Array[]}>} each image (784,) 0..255
 */
export async function testDigits({ file, labels }) {
  const pixels = await fileBytes(file);
  const images = labels.map((_, i) => pixels.subarray(i * PIXELS, (i + 1) * PIXELS));
  return { labels, images };
}
