/** The file that "Save the outputs" hands out; lessons_lib.browser.read_outputs reads it. */
import { describe } from "./runtime.js";

const FORMAT = "quantization-lessons/browser-outputs/1";
const FILE = "browser-outputs.json";

/**
 * @param {import("./model.js").Model[]} models
 * @param {import("./model.js").Answer[][]} answers for each model, one for each test digit
 * @param {number[][]} microseconds for each model, one mean for each batch
 */
export async function saveOutputs(models, answers, microseconds) {
  const names = distinct(models.map(({ name }) => name));
  const entries = models.map(async (model, i) => ({
    name: names[i],
    bytes: model.bytes.length,
    sha256: await sha256(model.bytes),
    dtype: model.output.dtype,
    outputs: answers[i].map(({ codes }) => Array.from(codes)),
    microseconds: microseconds[i],
  }));
  const content = {
    format: FORMAT,
    taken: new Date().toISOString().slice(0, 10),
    browser: navigator.userAgent,
    runtime: await describe(),
    models: await Promise.all(entries),
  };
  download(FILE, JSON.stringify(content));
}

/** The reader of the file finds the models by name. */
function distinct([left, right]) {
  return [left, right === left ? `${right} (right)` : right];
}

async function sha256(bytes) {
  if (!crypto.subtle) {
    throw new Error(
      "Browsers calculate the checksum of a file only on https and on localhost: open the page "
        + "as http://localhost with its port.",
    );
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
