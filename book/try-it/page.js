/** Ties the parts of the page together. */
import { Bars } from "./bars.js";
import * as site from "./digits.js";
import { byId } from "./dom.js";
import { percent } from "./format.js";
import { Input } from "./input.js";
import { latestOnly, oneAtATime } from "./queue.js";
import { Results } from "./results.js";
import * as runtime from "./runtime.js";
import { saveOutputs } from "./save.js";
import { Session } from "./session.js";
import { Side } from "./side.js";
import { survey } from "./survey.js";
import { measure } from "./timing.js";

const KEYS = ["left", "right"];
const FIRST_PATHS = ["float32", "uint8"];
const SPEAK_AFTER_MS = 700;

/** For tests and style: "loading", "ready" (both models have answered), "measured". */
function setState(state) {
  document.documentElement.dataset.tryIt = state;
}

class Page {
  constructor(manifest, digits) {
    this.digits = digits;
    this.session = new Session();
    this.loads = oneAtATime();
    this.waiting = 0; // loads that are asked for and not done
    this.round = new AbortController();
    this.answerSoon = latestOnly(() => this.answer());
    this.bars = new Bars();
    this.input = this.makeInput();
    this.results = new Results(digits, (digit) => {
      this.input.take(digit);
      byId("pad").scrollIntoView({ block: "nearest" });
    });
    this.sources = courseSources(manifest);
    this.sides = KEYS.map((key, i) => (
      new Side(key, this.sources, manifest.refused, (source) => this.load(i, source))
    ));
    const action = (id, act) => byId(id).addEventListener("click", () => {
      if (this.actionsAllowed) act();
    });
    action("measure", () => this.measureAgain());
    action("save", () => this.save());
  }

  makeInput() {
    return new Input(this.digits, {
      changed: () => this.answerSoon(),
      ended: () => this.speakSoon(),
      said: announce,
    });
  }

  /** Load the models that are shown first. */
  async begin() {
    this.input.take(0);
    await Promise.all(FIRST_PATHS.map((name, i) => {
      const source = this.sources.find((candidate) => candidate.name === name);
      return this.load(i, source);
    }));
  }

  // --- the answers -------------------------------------------------------------------------

  async answer() {
    if (!this.session.isComplete) return;
    try {
      this.say(this.input.isBlank ? null : await this.session.answer(this.input.pixels));
    } catch (error) {
      fail(error);
    }
  }

  say(answers) {
    this.answers = answers;
    this.bars.show(answers);
    this.sides.forEach((side, i) => side.say(answers?.[i]));
  }

  /** Tell screen readers once the reader has stopped drawing, not at every stroke. */
  speakSoon() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      if (!this.answers) return;
      announce(this.answers.map(({ best, values }, i) => (
        `${this.names[i]}: ${best}, ${percent(values[best] ?? 0)}.`
      )).join(" "));
    }, SPEAK_AFTER_MS);
  }

  get names() {
    return this.session.models.map((model) => model.name);
  }

  // --- the models --------------------------------------------------------------------------

  /** @param {number} i 0 left, 1 right @param {import("./side.js").Source} source */
  load(i, source) {
    setState("loading");
    this.round.abort();
    this.allowActions(false); // what is known is no longer of the pair that is coming
    this.waiting += 1;
    this.sides[i].expect(source);
    return this.loads(() => this.open(i, source)).finally(() => {
      this.waiting -= 1;
      if (this.waiting === 0 && this.session.isComplete) return this.newRound();
      return undefined;
    });
  }

  async open(i, source) {
    try {
      await this.session.open(i, source.name, await source.read(), this.digits.images[0]);
      this.sides[i].show(source);
    } catch (error) {
      this.sides[i].refuse(source, error);
    }
  }

  /** All that is known of a pair: the answers, the agreement, the times. */
  async newRound() {
    const signal = this.beginRound();
    this.bars.name(this.names);
    this.results.begin(this.session.models);
    await this.answerSoon();
    if (signal.aborted) return;
    setState("ready");
    await this.finish(signal, async () => {
      this.surveyed = await survey(this.session, this.digits.images, signal);
      this.results.showSurvey(this.surveyed, this.names);
      await this.time(signal);
    });
  }

  /** @returns {AbortSignal} of a new round; the one before ends */
  beginRound() {
    this.round.abort();
    this.round = new AbortController();
    this.allowActions(false);
    fail(null);
    return this.round.signal;
  }

  measureAgain() {
    const signal = this.beginRound();
    setState("ready");
    this.results.beginTimes();
    announce("Measuring.");
    return this.finish(signal, () => this.time(signal));
  }

  async time(signal) {
    const idle = () => this.input.pad.idle();
    this.timed = await measure(this.session, this.digits.images[0], idle, signal);
    this.results.showTimes(this.timed);
  }

  /** Do the last part of a round, unless another one has begun in the meantime. */
  async finish(signal, work) {
    try {
      await work();
      if (signal.aborted) return;
      this.allowActions(true);
      setState("measured");
      announce("Agreement and speed are measured.");
    } catch (error) {
      if (signal.aborted) return;
      this.results.failTimes();
      fail(error);
    }
  }

  allowActions(allowed) {
    for (const id of ["measure", "save"]) byId(id).setAttribute("aria-disabled", String(!allowed));
    this.actionsAllowed = allowed;
  }

  async save() {
    const times = this.timed.map(({ microseconds }) => microseconds);
    try {
      await saveOutputs(this.session.models, this.surveyed, times);
      announce("The outputs are saved.");
    } catch (error) {
      fail(error);
    }
  }
}

/** @returns {import("./side.js").Source[]} */
function courseSources(manifest) {
  return manifest.models.map(({ name, title, file }) => (
    { key: name, name, title, read: () => site.fileBytes(file) }
  ));
}

function announce(text) {
  byId("status").textContent = text;
}

/** Say what went wrong with the page itself; null: nothing. */
function fail(error) {
  byId("failure").textContent = error ? (error.message ?? String(error)) : "";
}

async function loadDigits() {
  const manifest = await site.manifest();
  return { manifest, digits: await site.testDigits(manifest.digits) };
}

async function main() {
  setState("loading");
  byId("notice").hidden = true;
  byId("app").hidden = false;
  try {
    const [{ manifest, digits }] = await Promise.all([loadDigits(), runtime.start()]);
    await new Page(manifest, digits).begin();
  } catch (error) {
    fail(new Error(`The page could not start: ${error.message ?? error}. Reload it; if that does `
      + "not help, build the site anew with make book, and use a browser of 2023 or later."));
  }
}

main();
