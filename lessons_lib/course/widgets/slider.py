"""Sliders for scale and zero point, over a handful of numbers."""

import html
import json
import math
from collections.abc import Sequence

import numpy as np
from IPython.display import HTML

from lessons_lib.course.widgets.style import KEYS, theme
from lessons_lib.errors import InputError
from lessons_lib.numbers import affine

_SLIDER_STYLE = (
    theme("lesson-slider")
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

_SLIDER_SCRIPT = (
    KEYS
    + """
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
  root.addEventListener("keydown", keepKeys);
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
document.querySelectorAll(".lesson-slider[data-config]:not([data-ready]):has(button)").forEach(start);
"""
)

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
