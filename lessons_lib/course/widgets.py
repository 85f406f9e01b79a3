"""Small HTML widgets that work in JupyterLab and on a web page, with the keyboard, offline.

Each is one piece of HTML with its own style and script. Where scripts do not run (an untrusted
notebook, a print) the result for the initial settings stays readable. The same arguments always
give the same text, so that executing a notebook again changes nothing.
"""

import hashlib
import html
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from IPython.display import HTML

from lessons_lib.errors import InputError
from lessons_lib.numbers import affine

# JupyterLab's colours, else the site's, else the browser's own.
_THEME = """
.WIDGET {
  background: var(--jp-layout-color1, var(--pst-color-background, Canvas));
  color: var(--jp-content-font-color1, var(--pst-color-text-base, CanvasText));
  --line: var(--jp-border-color0, var(--pst-color-border, GrayText));
  --focus: var(--jp-brand-color1, var(--pst-color-primary, #0072B2));
  font-size: 1rem; line-height: 1.5; padding: .75em 1em; max-width: 46em;
  border: 1px solid var(--line); border-radius: 6px;
}
.WIDGET [hidden] { display: none !important; }
.WIDGET button {
  font: inherit; color: inherit; background: transparent; cursor: pointer;
  border: 1px solid currentColor; border-radius: 4px; padding: .15em .9em;
}
.WIDGET input { accent-color: var(--focus); }
.WIDGET :focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
"""

# --- scale and zero point --------------------------------------------------------------------

_SLIDER_STYLE = (
    _THEME.replace("WIDGET", "lesson-slider")
    + """
.lesson-slider label {
  display: grid; grid-template-columns: 6.5em 1fr 8em; gap: .8em; align-items: center;
}
.lesson-slider .read-out, .lesson-slider td { font-variant-numeric: tabular-nums; }
.lesson-slider .read-out { font-weight: bold; }
.lesson-slider svg { display: block; width: 100%; height: 58px; margin: .6em 0 0; }
.lesson-slider .range { fill: currentColor; fill-opacity: .12; stroke: currentColor; }
.lesson-slider line { stroke: currentColor; stroke-width: 2; }
.lesson-slider text { fill: currentColor; font-size: 12px; }
.lesson-slider circle { fill: #0072B2; stroke: Canvas; }
.lesson-slider circle.out { fill: #D55E00; }
.lesson-slider table { border-collapse: collapse; width: 100%; margin: .5em 0; }
.lesson-slider caption { text-align: left; padding: .2em 0; color: inherit; }
.lesson-slider th, .lesson-slider td {
  text-align: right; padding: .15em .6em; border-bottom: 1px solid var(--line);
  background: transparent; color: inherit;
}
.lesson-slider .mark { text-align: left; min-width: 5em; font-weight: bold; }
.lesson-slider p { margin: .3em 0 0; }
"""
)

# Math.fround after each step is float32 arithmetic, so the codes equal affine.quantize's.
_AFFINE_SCRIPT = """
const roundHalfAway = (v) => Math.sign(v) * Math.floor(Math.abs(v) + 0.5);
function quantize(x, scale, zeroPoint, qmin, qmax) {
  const wide = roundHalfAway(Math.fround(Math.fround(x) / Math.fround(scale))) + zeroPoint;
  const code = Math.min(qmax, Math.max(qmin, wide));
  return { code, clipped: code !== wide };
}
const dequantize = (code, scale, zeroPoint) =>
  Math.fround(Math.fround(scale) * Math.fround(code - zeroPoint));
"""

_SLIDER_SCRIPT = """
function start(root) {
  const config = JSON.parse(root.dataset.config);
  const { values, qmin, qmax, low, high, decimals } = config;
  const [scaleSlider, zeroSlider] = root.querySelectorAll("input");
  const show = (name, text) => { root.querySelector("." + name).textContent = text; };
  const number = (v) => (v < 0 ? "-" : "") + Math.abs(v).toFixed(decimals);
  const signed = (v) => (v < 0 ? "-" : "+") + Math.abs(v).toFixed(decimals);
  const place = (v) => Math.min(100, Math.max(0, 100 * (v - low) / (high - low)));
  function update() {
    const scale = Math.fround(config.scale * 2 ** (scaleSlider.valueAsNumber / 16));
    const zeroPoint = zeroSlider.valueAsNumber;
    let total = 0;
    values.forEach((x, i) => {
      const { code, clipped } = quantize(x, scale, zeroPoint, qmin, qmax);
      const back = dequantize(code, scale, zeroPoint);
      const texts = [code, number(back), signed(back - x), clipped ? "clipped" : ""];
      const cells = root.querySelectorAll("tbody tr")[i].querySelectorAll("td");
      texts.forEach((text, j) => { cells[j].textContent = text; });
      root.querySelectorAll("circle")[i].classList.toggle("out", clipped);
      total += Math.abs(back - x);
    });
    const [first, last] = [qmin, qmax].map((code) => dequantize(code, scale, zeroPoint));
    const box = root.querySelector(".range");
    const [left, right] = [place(first - scale / 2), place(last + scale / 2)];
    box.setAttribute("x", left + "%");
    box.setAttribute("width", right - left + "%");
    const digits = scale.toPrecision(4);
    scaleSlider.setAttribute("aria-valuetext", digits);
    show("scale", digits);
    show("zero-point", zeroPoint);
    show("first", number(first));
    show("last", number(last));
    show("total", total.toFixed(decimals));
  }
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.addEventListener("input", update);
  root.querySelector("button").addEventListener("click", () => {
    scaleSlider.value = 0;
    zeroSlider.value = config.zeroPoint;
    update();
  });
  root.querySelector(".controls").hidden = false;
  root.dataset.ready = "yes";
  update();
}
document.querySelectorAll(".lesson-slider:not([data-ready])").forEach(start);
"""

_SLIDER = """<div class="lesson-slider" data-config="{config}">
<style>{style}</style>
<div class="controls" hidden>
<label>scale <input type="range" min="-32" max="32" step="1" value="0">
<span class="read-out scale">{scale}</span></label>
<label>zero_point <input type="range" min="{qmin}" max="{qmax}" step="1" value="{zero_point}">
<span class="read-out zero-point">{zero_point}</span></label>
<button type="button">Back to the values' own range</button>
</div>
<svg aria-hidden="true"><rect class="range" x="{box_x}%" y="8" width="{box_width}%" height="28"/>
<line x1="0" x2="100%" y1="22" y2="22"/><line x1="{zero}%" x2="{zero}%" y1="4" y2="40"/>
<text x="{zero}%" y="54" text-anchor="middle">0</text>{dots}</svg>
<table><caption>{num_bits}-bit codes from {qmin} to {qmax} stand for
<span class="first">{first}</span> to <span class="last">{last}</span>.
What rounds to one of them lies in the shaded box; the rest is clipped.</caption>
<thead><tr><th scope="col">x</th><th scope="col">code</th><th scope="col">dequantized</th>
<th scope="col">error</th><th scope="col" class="mark">clipped?</th></tr></thead>
<tbody>{rows}</tbody></table>
<p role="status">Sum of the absolute errors: <strong class="total">{total}</strong></p>
<script>(() => {{{script}}})();</script>
</div>"""


def affine_slider(values: Sequence[float], num_bits: int = 8) -> HTML:
    """Show how scale and zero_point turn floats into signed integer codes, under two sliders.

    ``values``: 1 to 8 finite floats. ``num_bits``: 2 to 8. The sliders start at the asymmetric
    scale and zero_point of the values' range; the arithmetic is that of ``affine.quantize``:
    ``code = clip(round(x / scale) + zero_point)`` in float32, halves rounded away from zero.
    Without scripts, a table for the starting scale and zero_point.

    Raises InputError for other values or bit widths. Defined in lesson 03.
    """
    x = _require_values(values)
    if num_bits not in range(2, 9):
        raise InputError(f"num_bits must be 2 to 8 for the slider (lesson 03); given: {num_bits}")
    config = _slider_config(x, num_bits)
    return HTML(
        _SLIDER.format(
            style=_SLIDER_STYLE,
            script=_AFFINE_SCRIPT + _SLIDER_SCRIPT,
            config=html.escape(json.dumps(config)),
            num_bits=num_bits,
            qmin=config["qmin"],
            qmax=config["qmax"],
            zero_point=config["zeroPoint"],
            **_slider_texts(config, num_bits),
            **_slider_drawing(config),
        )
    )


def _require_values(values: Sequence[float]) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 is refused below
            x = np.asarray(values, dtype=np.float32).astype(float)
    except (TypeError, ValueError) as error:
        raise InputError(f"the slider takes a list of floats (lesson 03); {error}") from error
    if x.ndim != 1 or not 1 <= x.size <= 8 or not np.isfinite(x).all():
        raise InputError(
            "the slider shows 1 to 8 finite floats in one row, so that each can be read "
            f"(lesson 03); given: shape {x.shape}"
        )
    return x


def _slider_config(x: np.ndarray, num_bits: int) -> dict:
    """What the script must know: the values, where the sliders start, the drawing's ends."""
    qmin, qmax = affine.integer_range(num_bits)
    scale, zero_point = affine.scale_zero_point(x.min(), x.max(), num_bits)
    first, last = affine.dequantize(np.array([qmin, qmax]), scale, zero_point).astype(float)
    margin = 0.3 * (last - first)
    return {
        "values": x.tolist(),
        "scale": float(np.float32(scale)),
        "zeroPoint": zero_point,
        "qmin": qmin,
        "qmax": qmax,
        "low": first - margin,
        "high": last + margin,
        "decimals": max(0, 2 - math.floor(math.log10(scale))),  # three digits of the scale
    }


def _slider_texts(config: dict, num_bits: int) -> dict[str, str]:
    """The numbers before a script runs, written as the script writes them."""
    x, decimals = np.array(config["values"], dtype=np.float32), config["decimals"]
    scale, zero_point = config["scale"], config["zeroPoint"]
    codes = affine.quantize(x, scale, zero_point, num_bits)
    clipped = codes != affine.round_half_away(x / np.float32(scale)) + zero_point
    back = affine.dequantize(codes, scale, zero_point)
    errors = back.astype(float) - x
    rows = (
        f"<tr><th scope='row'>{value!s}</th><td>{code}</td><td>{_fixed(real, decimals)}</td>"
        f"<td>{_fixed(error, decimals, plus='+')}</td>"
        f"<td class='mark'>{'clipped' if out else ''}</td></tr>"
        for value, code, real, error, out in zip(x, codes, back, errors, clipped, strict=True)
    )
    ends = np.array([config["qmin"], config["qmax"]])
    first, last = affine.dequantize(ends, scale, zero_point)
    return {
        "rows": "\n".join(rows),
        "scale": f"{scale:.4g}",
        "first": _fixed(first, decimals),
        "last": _fixed(last, decimals),
        "total": _fixed(np.abs(errors).sum(), decimals),
    }


def _slider_drawing(config: dict) -> dict[str, str]:
    """Places along the number line, in percent of its width."""
    scale, zero_point, low = config["scale"], config["zeroPoint"], config["low"]
    percent = 100 / (config["high"] - low)
    left = scale * (config["qmin"] - zero_point - 0.5)
    right = scale * (config["qmax"] - zero_point + 0.5)
    dots = (
        f'<circle cx="{(value - low) * percent:.3f}%" cy="22" r="6"/>' for value in config["values"]
    )
    return {
        "dots": "".join(dots),
        "zero": f"{-low * percent:.3f}",
        "box_x": f"{(left - low) * percent:.3f}",
        "box_width": f"{(right - left) * percent:.3f}",
    }


def _fixed(value: float, decimals: int, plus: str = "") -> str:
    return f"{'-' if value < 0 else plus}{abs(value):.{decimals}f}"


# --- quiz ------------------------------------------------------------------------------------

_QUIZ_STYLE = (
    _THEME.replace("WIDGET", "lesson-quiz")
    + """
.lesson-quiz fieldset { border: 0; padding: 0; margin: 0 0 1em; min-width: 0; }
.lesson-quiz legend {
  font-weight: bold; font-size: 1em; padding: 0; margin: 0 0 .3em; float: none;
}
.lesson-quiz label { display: flex; gap: .6em; align-items: baseline; padding: .1em 0; }
.lesson-quiz .feedback { min-height: 1.5em; margin: .4em 0 0; padding-left: .7em; }
.lesson-quiz .right { border-left: 4px solid #009E73; }
.lesson-quiz .wrong { border-left: 4px dashed #D55E00; }
.lesson-quiz code { background: transparent; color: inherit; padding: 0; font-size: .95em; }
.lesson-quiz summary { cursor: pointer; }
"""
)

_QUIZ_SCRIPT = """
function ask(question, why) {
  const feedback = question.querySelector(".feedback");
  const button = question.querySelector("button");
  let wrong = 0;
  const say = (kind, text) => {
    feedback.className = "feedback " + kind;
    feedback.innerHTML = text;
  };
  question.addEventListener("change", () => say("", ""));
  button.addEventListener("click", () => {
    const chosen = question.querySelector("input:checked");
    if (!chosen) say("", "Choose an answer first.");
    else if (chosen.value === question.dataset.correct) say("right", "✓ Correct. " + why);
    else {
      wrong += 1;
      const given = chosen.parentElement.querySelector("span").innerHTML;
      const help = wrong > 1 ? "A hint: " + why : "Choose another answer.";
      say("wrong", "✗ Not yet: it is not “" + given + "”. " + help);
    }
  });
  button.hidden = false;
}
function start(root, copy) {
  const reasons = root.querySelectorAll(".why");
  root.querySelectorAll("fieldset").forEach((question, i) => {
    // A second copy of the same quiz in one page must not share its radio groups.
    question.querySelectorAll("input").forEach((input) => { input.name += "-" + copy; });
    ask(question, reasons[i].innerHTML);
  });
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.dataset.ready = "yes";
}
const started = document.querySelectorAll(".lesson-quiz[data-ready]").length;
document.querySelectorAll(".lesson-quiz:not([data-ready])").forEach((root, i) => {
  start(root, started + i);
});
"""

_QUIZ = """<div class="lesson-quiz">
<style>{style}</style>
{questions}
<details><summary>Answers</summary>
<ol>{answers}</ol></details>
<script>(() => {{{script}}})();</script>
</div>"""

_QUESTION = """<fieldset data-correct="{correct}">
<legend>{number}. {text}</legend>
{options}
<button type="button" hidden>Check</button>
<p class="feedback" role="status" aria-live="polite"></p>
</fieldset>"""


@dataclass(frozen=True)
class Question:
    """One question of a quiz with one right answer.

    ``correct`` is the index, from 0, of the right one of the 2 to 6 ``options``; ``why`` is shown
    after the right answer, and from the second wrong one on. Text between backticks is set as code.

    Raises InputError when a text is empty, options repeat, or ``correct`` is not an index.
    """

    text: str
    options: Sequence[str]
    correct: int
    why: str

    def __post_init__(self):
        texts = [self.text, self.why, *self.options]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise InputError(f"a quiz question needs a text, options and a reason; given: {texts}")
        if not 2 <= len(self.options) <= 6 or len(set(self.options)) != len(self.options):
            raise InputError(f"a quiz question needs 2 to 6 different options: {self.options}")
        if type(self.correct) is not int or self.correct not in range(len(self.options)):
            raise InputError(
                f"correct is the right option's index, 0 to {len(self.options) - 1}; "
                f"given: {self.correct!r}"
            )


def quiz(questions: Sequence[Question]) -> HTML:
    """Show questions with radio buttons, a Check button each, and feedback that is read out.

    ``questions``: one or more ``Question``. Without scripts the answers stand in a fold below.

    Raises InputError when there is no question, or something else is among them.
    """
    if not questions or not all(isinstance(question, Question) for question in questions):
        raise InputError("a quiz is a list of at least one widgets.Question")
    content = json.dumps([[q.text, list(q.options), q.correct, q.why] for q in questions])
    key = hashlib.sha256(content.encode()).hexdigest()[:8]
    return HTML(
        _QUIZ.format(
            style=_QUIZ_STYLE,
            script=_QUIZ_SCRIPT,
            questions="\n".join(_question(q, i, key) for i, q in enumerate(questions, 1)),
            answers="\n".join(
                f"<li><strong>{_markup(q.options[q.correct])}</strong>: "
                f"<span class='why'>{_markup(q.why)}</span></li>"
                for q in questions
            ),
        )
    )


def _question(question: Question, number: int, key: str) -> str:
    options = (
        f'<label><input type="radio" name="quiz-{key}-{number}" value="{i}"> '
        f"<span>{_markup(option)}</span></label>"
        for i, option in enumerate(question.options)
    )
    return _QUESTION.format(
        correct=question.correct,
        number=number,
        text=_markup(question.text),
        options="\n".join(options),
    )


def _markup(text: str) -> str:
    """Escape a text and set what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
