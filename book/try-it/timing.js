/**
 * How long one inference takes. A browser's clock ticks coarsely (0.1 ms and more), so batches of
 * runs are timed; the models take turns, so that whatever slows the machine down slows both.
 */
import { breathe } from "./queue.js";

export const BATCHES = 7;
const BATCH_MS = 30; // and not longer: the page does not react meanwhile
const WARM_UP_MS = 50; // until the browser has compiled what is used to fast code

/**
 * @param {import("./session.js").Session} session
 * @param {Uint8Array} pixels (784,) the image that is run
 * @param {() => Promise<void>} idle resolves when nobody is drawing
 * @param {AbortSignal} signal
 * @returns {Promise<{runs: number, microseconds: number[]}[]>} for each model the runs in a batch,
 * and the mean of each batch: (BATCHES,) in microseconds for one inference
 */
export async function measure(session, pixels, idle, signal) {
  const turn = async (work) => {
    await breathe();
    await idle();
    return session.exclusive(() => {
      signal.throwIfAborted();
      return work();
    });
  };
  const timed = [];
  for (const model of session.models) timed.push(await turn(() => warmUp(model, pixels)));
  for (let batch = 0; batch < BATCHES; batch += 1) {
    for (const entry of timed) entry.microseconds.push(await turn(() => timeBatch(entry, pixels)));
  }
  return timed.map(({ runs, microseconds }) => ({ runs, microseconds }));
}

/**
 * Run until the clock can tell, and find how many runs fill a batch. It has to tell twice: a pause
 * of the browser may be as long as many runs.
 */
async function warmUp(model, pixels) {
  const entry = { model, runs: 1, microseconds: [] };
  const milliseconds = async () => ((await timeBatch(entry, pixels)) * entry.runs) / 1000;
  for (;;) {
    let elapsed = await milliseconds();
    if (elapsed >= WARM_UP_MS) elapsed = Math.min(elapsed, await milliseconds());
    if (elapsed >= WARM_UP_MS) {
      entry.runs = Math.max(1, Math.round((entry.runs * BATCH_MS) / elapsed));
      return entry;
    }
    entry.runs *= 2;
  }
}

async function timeBatch({ model, runs }, pixels) {
  const tensor = model.tensor(pixels);
  const start = performance.now();
  await model.repeat(tensor, runs);
  const elapsed = performance.now() - start;
  tensor.delete();
  return (elapsed * 1000) / runs;
}

/**
 * The median and the middle half, as lessons_lib.benchmark reports them.
 *
 * @param {number[]} values @returns {{low: number, median: number, high: number}}
 */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, median, high] = [0.25, 0.5, 0.75].map((part) => quantile(sorted, part));
  return { low, median, high };
}

/** Between two values, a part of the way from one to the other. */
function quantile(sorted, part) {
  const place = part * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}
