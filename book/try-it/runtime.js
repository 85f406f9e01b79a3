/** Google's LiteRT.js, served by this site: starting it, starting it anew, compiling a model. */

const CORE = new URL("runtime/core/", import.meta.url);

let library = null;
let starts = 0;

// What the WebAssembly has complained of since it was last asked for something. It must be heard:
// when an inference fails, LiteRT.js gives outputs all the same, and the complaint is all there is.
const complaints = [];
const COMPLAINT = /^ERROR: (\[[^\]]*\] )?/;

/**
 * Load the runtime, and put away the one that was there with all of its models.
 *
 * Each start imports a fresh copy of the module (a browser keeps one for each address): one whose
 * WebAssembly has crashed cannot be relied on to clean up.
 */
export async function start() {
  release();
  starts += 1;
  self.Module = { print() {}, printErr: hear }; // nothing of it reaches the console
  library = await import(new URL(`dist/index.js?start=${starts}`, CORE).href);
  await library.loadLiteRt(new URL("wasm/", CORE).href);
}

function release() {
  try {
    library?.unloadLiteRt();
  } catch (error) {
    console.info("The crashed runtime could not be unloaded:", error);
  }
  library = null;
}

/** @returns {Promise<string>} the runtime's package and version */
export async function describe() {
  const { name, version } = await (await fetch(new URL("package.json", CORE))).json();
  return `${name} ${version}`;
}

function hear(line) {
  if (COMPLAINT.test(line)) complaints.push(line.replace(COMPLAINT, ""));
}

/** @param {Uint8Array} bytes a .tflite @returns {Promise<object>} LiteRT.js's CompiledModel */
export async function compile(bytes) {
  complaints.length = 0;
  try {
    return await library.loadAndCompile(bytes, { accelerator: "wasm" });
  } catch (error) {
    throw isCrash(error) || complaints.length === 0 ? error : new Error(complaints[0]);
  }
}

/**
 * @param {object} compiled
 * @param {object} input a tensor
 * @returns {Promise<object>} the output tensor; the caller deletes it
 * @throws {Error} with the first complaint, when the inference failed
 */
export async function run(compiled, input) {
  complaints.length = 0;
  const [output] = await compiled.run([input]);
  if (complaints.length === 0) return output;
  output.delete();
  throw new Error(complaints[0]);
}

/** A trap of the WebAssembly, or a stack that ran over; refusals are plain errors. */
export function isCrash(error) {
  return error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
}

/** @param {Float32Array | Uint8Array} values @param {number[]} shape of a tensor for a model */
export function tensor(values, shape) {
  return new library.Tensor(values, shape);
}
