/**
 * The two models beside each other: opening, answering, and the way back after a failure. Nothing
 * here touches the document.
 */
import { ModelError, modelError } from "./errors.js";
import { Model } from "./model.js";
import { oneAtATime } from "./queue.js";
import * as runtime from "./runtime.js";

export class Session {
  /** @type {(Model | null)[]} left and right */
  models = [null, null];

  /** The runtime does one thing at a time: whoever uses it waits for its turn here. */
  exclusive = oneAtATime();

  get isComplete() {
    return this.models.every(Boolean);
  }

  /**
   * Put a model on a side, once it has answered a first image.
   *
   * @param {0 | 1} side
   * @param {string} name
   * @param {Uint8Array} bytes a whole .tflite
   * @param {Uint8Array} pixels (784,) of the first image
   * @throws {ModelError} when it cannot be used; both sides then hold what they held before
   */
  open(side, name, bytes, pixels) {
    return this.exclusive(async () => {
      const model = await this.tried(name, bytes, pixels);
      this.models[side]?.delete();
      this.models[side] = model;
    });
  }

  async tried(name, bytes, pixels) {
    try {
      const model = await Model.open(name, bytes);
      await model.answer(pixels);
      return model;
    } catch (error) {
      if (error instanceof ModelError) throw error; // the runtime has not seen the file
      await this.restart();
      throw refusal(error);
    }
  }

  /**
   * @param {Uint8Array} pixels (784,)
   * @returns {Promise<import("./model.js").Answer[]>} left and right
   * @throws {ModelError} when the runtime crashed; it has then been started anew
   */
  answer(pixels) {
    return this.exclusive(async () => {
      try {
        return [await this.models[0].answer(pixels), await this.models[1].answer(pixels)];
      } catch (error) {
        await this.restart();
        throw refusal(error);
      }
    });
  }

  /** Start a fresh runtime, and load into it what was there. */
  async restart() {
    await runtime.start();
    for (const [side, model] of this.models.entries()) {
      if (model) this.models[side] = await Model.open(model.name, model.bytes);
    }
  }
}

/** What a failure inside of the runtime means for the reader. */
function refusal(error) {
  const reason = String(error?.message ?? error).split("\n")[0].replace(/\.$/, "");
  if (runtime.isCrash(error)) {
    return modelError(
      `This model crashed the runtime (${reason}), which was started again. The file is damaged, `
        + "or holds what LiteRT.js cannot do. Copy or export it again.",
      error,
    );
  }
  return modelError(
    `LiteRT.js cannot run this model (${reason}). The file is damaged or cut short, or has an `
      + "operator that LiteRT.js does not know. Copy or export it again.",
    error,
  );
}
