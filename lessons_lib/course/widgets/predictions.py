"""A question before a result: what the reader chose, and whether it held.

The choice stays in the reader's browser (``localStorage``), in the notebook and on the site alike;
a browser that keeps nothing holds it until the page is left. Where no script runs, the question,
its options and the answer are plain text.
"""

import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from IPython.display import HTML

from lessons_lib.course.widgets.style import KEYS, markup, theme
from lessons_lib.errors import InputError

_LETTERS = "ABCDEF"

_STYLE = (
    theme("lesson-prediction")
    + """
.lesson-prediction fieldset { border: 0; padding: 0; margin: 0; min-width: 0; }
.lesson-prediction legend {
  font-weight: bold; font-size: 1em; padding: 0; margin: 0 0 .3em; float: none;
}
.lesson-prediction label { display: flex; gap: .6em; align-items: baseline; padding: .1em 0; }
.lesson-prediction p { margin: .3em 0 0; }
.lesson-prediction .held { border-left: 4px solid #009E73; padding-left: .7em; }
.lesson-prediction .missed { border-left: 4px dashed #D55E00; padding-left: .7em; }
.lesson-prediction code { background: transparent; color: inherit; padding: 0; font-size: .95em; }
"""
)

# What was chosen and what is right, by a question's key. The page holds both as well as the store,
# which may be full or forbidden. A change is told to all that show it.
_STORE = """
const held = (window.lessonPredictions ??= {});
const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const read = (kind, key) => {
  const name = "lessons:" + kind + ":" + key;
  return held[name] ?? stored(name);
};
const write = (kind, key, value) => {
  const name = "lessons:" + kind + ":" + key;
  held[name] = value;
  try { localStorage.setItem(name, value); } catch { /* the page holds it */ }
  document.dispatchEvent(new CustomEvent("lesson-prediction", { detail: key }));
};
const isKept = (key) => stored("lessons:prediction:" + key) !== null;
"""

_ASK_SCRIPT = (
    _STORE
    + KEYS
    + """
let copies = document.querySelectorAll(".lesson-prediction.asks[data-ready]").length;
document.querySelectorAll(".asks[data-key]:not([data-ready]):has([role])").forEach((root) => {
  const key = root.dataset.key, said = root.querySelector("[role=status]");
  const inputs = [...root.querySelectorAll("input")];
  copies += 1;
  const show = () => {
    const chosen = read("prediction", key);
    inputs.forEach((input) => { input.checked = input.value === chosen; });
    said.textContent = chosen === null ? "Choose one before you go on."
      : "You predict " + "ABCDEF"[chosen] + ". It is kept "
        + (isKept(key) ? "in this browser." : "until you leave this page.");
  };
  inputs.forEach((input) => {
    // A second copy of the question in one page must not share its radio group.
    input.name += "-" + copies;
    input.hidden = false;
    input.addEventListener("change", () => write("prediction", key, input.value));
  });
  document.addEventListener("lesson-prediction", show);
  root.addEventListener("keydown", keepKeys);
  root.dataset.ready = "yes";
  show();
});
"""
)

_OUTCOME_SCRIPT = (
    _STORE
    + """
document.querySelectorAll(".tells[data-correct]:not([data-ready])").forEach((root) => {
  const { key, correct } = root.dataset, said = root.querySelector(".said");
  const show = () => {
    const chosen = read("prediction", key);
    if (chosen === null) return;
    const right = chosen === correct;
    said.textContent = "You predicted " + "ABCDEF"[chosen] + (right ? ", and it is " : "; it is ");
    said.parentElement.className = right ? "held" : "missed";
  };
  document.addEventListener("lesson-prediction", show);
  root.dataset.ready = "yes";
  write("outcome", key, correct);
  show();
});
"""
)

_TALLY_SCRIPT = (
    _STORE
    + """
document.querySelectorAll(".counts[data-keys]:not([data-ready]):has([role])").forEach((root) => {
  const keys = JSON.parse(root.dataset.keys), said = root.querySelector("[role=status]");
  const show = () => {
    const made = keys.filter((key) => read("prediction", key) !== null);
    const known = made.filter((key) => read("outcome", key) !== null);
    const right = known.filter((key) => read("prediction", key) === read("outcome", key));
    const left = keys.length - made.length, open = made.length - known.length;
    said.textContent = (made.length === 0 ? "You made none of the " + keys.length
      : right.length + " of your " + made.length + " held")
      + (left && made.length ? ", " + left + " not made" : "")
      + (open ? ", " + open + " without a result yet: run its cell." : ".");
  };
  document.addEventListener("lesson-prediction", show);
  root.dataset.ready = "yes";
  show();
});
"""
)


@dataclass(frozen=True)
class Prediction:
    """One question with 2 to 6 options, shown with radio buttons. Made by ``predict``."""

    number: str
    question: str
    options: tuple[str, ...]

    @property
    def key(self) -> str:
        """The number and a digest of the text: a question that is asked anew has no old answer."""
        content = json.dumps([self.question, self.options])
        return f"{self.number}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    def _repr_html_(self) -> str:
        options = "\n".join(
            f'<label><input type="radio" name="prediction-{self.key}" value="{i}" hidden> '
            f"<span><strong>{letter}.</strong> {markup(option)}</span></label>"
            for i, (letter, option) in enumerate(zip(_LETTERS, self.options, strict=False))
        )
        return (
            f'<div class="lesson-prediction asks" data-key="{self.key}">\n<style>{_STYLE}</style>\n'
            f"<fieldset><legend>Prediction {self.number}. {markup(self.question)}</legend>\n"
            f'{options}</fieldset>\n<p role="status"></p>\n'
            f"<script>(() => {{{_ASK_SCRIPT}}})();</script>\n</div>"
        )

    def outcome(self, correct: int) -> HTML:
        """Say what the reader predicted, and what it is.

        ``correct``: the index of the right option, from 0, computed from the result and never
        typed in. Raises InputError when it is none.
        """
        if isinstance(correct, bool) or correct not in range(len(self.options)):
            raise InputError(
                f"the outcome of prediction {self.number} is an index from 0 to "
                f"{len(self.options) - 1}; given: {correct!r}"
            )
        right = f"<strong>{_LETTERS[correct]}.</strong> {markup(self.options[correct])}"
        return HTML(
            f'<div class="lesson-prediction tells" data-key="{self.key}" data-correct="{correct}">'
            f'\n<style>{_STYLE}</style>\n<p><span class="said">Prediction {self.number}: it is '
            f"</span>{right}</p>\n<script>(() => {{{_OUTCOME_SCRIPT}}})();</script>\n</div>"
        )


def predict(number: str, question: str, options: Sequence[str]) -> Prediction:
    """Ask for a prediction; the last expression of a cell shows it.

    ``number``: lesson and prediction, "04.1"; ``options``: 2 to 6 different texts, lettered from A.
    Text between backticks is set as code. Raises InputError where one of these is something else.
    """
    if not re.fullmatch(r"\d\d\.\d+", number):
        raise InputError(f"a prediction's number looks like '04.1'; given: {number!r}")
    if not all(isinstance(text, str) and text.strip() for text in (question, *options)):
        raise InputError(f"a prediction needs a question and options; given: {question, options}")
    if not 2 <= len(options) <= len(_LETTERS) or len(set(options)) != len(options):
        raise InputError(f"a prediction needs 2 to 6 different options; given: {options}")
    return Prediction(number, question, tuple(options))


def tally(*predictions: Prediction) -> HTML:
    """Say at the end of a lesson how many of its predictions held.

    Raises InputError when there is none, or something else is among them.
    """
    if not predictions or not all(isinstance(p, Prediction) for p in predictions):
        raise InputError("tally takes the lesson's predictions, as widgets.predict made them")
    keys = html.escape(json.dumps([prediction.key for prediction in predictions]))
    return HTML(
        f'<div class="lesson-prediction counts" data-keys="{keys}">\n<style>{_STYLE}</style>\n'
        f'<p><strong>Your predictions.</strong> <span role="status">{len(predictions)} were asked '
        f"in this lesson.</span></p>\n<script>(() => {{{_TALLY_SCRIPT}}})();</script>\n</div>"
    )
