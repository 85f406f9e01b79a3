/** Both models on all of the test digits: where they agree, and how often each is right. */
import { breathe } from "./queue.js";

const CHUNK_MS = 12;

/**
 * @param {import("./session.js").Session} session
 * @param {Uint8Array[]} images each (784,)
 * @param {AbortSignal} signal
 * @returns {Promise<import("./model.js").Answer[][]>} for each model its answers, in chunks that
 * leave the page time to react
 */
export async function survey(session, images, signal) {
  const answers = [[], []];
  while (answers[0].length < images.length) {
    await breathe();
    await session.exclusive(async () => {
      signal.throwIfAborted();
      const start = performance.now();
      while (answers[0].length < images.length && performance.now() - start < CHUNK_MS) {
        const pixels = images[answers[0].length];
        answers[0].push(await session.models[0].answer(pixels));
        answers[1].push(await session.models[1].answer(pixels));
      }
    });
  }
  return answers;
}

/**
 * @param {import("./model.js").Answer[][]} answers as `survey` gives them
 * @param {number[]} labels
 * @returns {{differ: number[], bothWrong: number[], right: number[], largest: Difference}} the
 * positions of digits, and how many each model gets right
 */
export function compare([left, right], labels) {
  const digits = labels.map((_, i) => i);
  const largest = digits
    .map((i) => ({ ...largestDifference(left[i].values, right[i].values), digit: i }))
    .reduce((a, b) => (b.size > a.size ? b : a));
  return {
    differ: digits.filter((i) => left[i].best !== right[i].best),
    bothWrong: digits.filter((i) => left[i].best === right[i].best && left[i].best !== labels[i]),
    right: [left, right].map((side) => digits.filter((i) => side[i].best === labels[i]).length),
    largest,
  };
}

/**
 * @typedef {{size: number, index: number}} Difference the largest |a - b|, and the class it is at
 * @param {Float32Array} a @param {Float32Array} b (10,) @returns {Difference}
 */
export function largestDifference(a, b) {
  const sizes = Array.from(a, (value, i) => Math.abs(value - b[i]));
  const size = Math.max(...sizes);
  return { size, index: sizes.indexOf(size) };
}
