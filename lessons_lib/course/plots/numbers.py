"""Numbers and how they are stored: images, histograms, the steps of a grid, float16's bits."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from lessons_lib.course.plots.drawing import BLUE, GREY, PALE, SKY, VERMILION, panels, style
from lessons_lib.errors import InputError
from lessons_lib.numbers import affine, half_precision


def digits(images: np.ndarray, titles: Sequence[str] | None = None, columns: int = 10) -> Figure:
    """Draw images in rows of ``columns``, each under its title.

    ``images``: (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8 or floats; each grey image is drawn
    between its own darkest and brightest pixel. ``titles``: N short texts.
    Raises InputError when there is no image, the shape is another one, or the lengths differ.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or not len(images) or images.shape[3:] not in ((), (1,), (3,)):
        raise InputError(
            f"digits draws images of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3); "
            f"given: {images.shape}"
        )
    if titles is not None and len(titles) != len(images):
        raise InputError(f"{len(images)} images need {len(images)} titles; given: {len(titles)}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    with style():
        height = rows * (0.95 if titles is None else 1.2)
        figure, axes = panels(0.95 * columns, height, rows, columns)
        for axis in axes.flat:
            axis.axis("off")
        for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
            axis.imshow(image, cmap="gray_r", interpolation="nearest")
            axis.set_title("" if titles is None else titles[i], loc="center", fontsize=11)
    return figure


def histogram(
    values: ArrayLike,
    title: str,
    unit: str,
    levels: ArrayLike | None = None,
    bins: int = 80,
) -> Figure:
    """Draw how often values occur, and under them, if asked, the levels that quantization keeps.

    ``values``: numbers of any shape, in ``unit``. ``levels``: the real numbers that the integer
    codes stand for, in the same unit; what lies outside them is hatched: it saturates.
    Raises InputError when there is no value or one is not finite. Defined in lesson 03.
    """
    values = np.asarray(values, dtype=float).ravel()
    if not values.size or not np.isfinite(values).all():
        raise InputError("a histogram needs at least one value, and only finite ones")
    with style():
        figure, ((axes,),) = panels(8, 3.4)
        axes.hist(values, bins=bins, color=SKY, edgecolor=BLUE, linewidth=0.4)
        axes.set(title=title, xlabel=f"value ({unit})", ylabel="how many (values per bin)")
        axes.grid(axis="y")
        axes.margins(x=0.02)
        if levels is not None:
            _mark_levels(axes, np.asarray(levels, dtype=float))
    return figure


def _mark_levels(axes: Axes, levels: np.ndarray) -> None:
    left, right = axes.get_xlim()
    left, right = min(left, levels.min()), max(right, levels.max())
    axes.vlines(
        levels,
        -0.09,
        -0.02,
        transform=axes.get_xaxis_transform(),
        color=VERMILION,
        linewidth=0.8,
        clip_on=False,
    )
    axes.tick_params(axis="x", pad=16)
    axes.set_title(f"{levels.size} levels", loc="right", color=VERMILION)
    _mark_clipping(axes, levels.min(), levels.max(), left, right, height=0.88)
    axes.set_xlim(left, right)


def staircase(scale: float, zero_point: int, num_bits: int = 8, signed: bool = True) -> Figure:
    """Draw ``dequantize(quantize(x))`` against x, where it is clipped, and its error.

    ``scale`` in real units per integer step; few bits (3 or 4) show the steps. Inside the range
    the error stays within half a step; outside, the result stands still: it saturates.
    Raises what ``affine.quantize`` raises. Defined in lesson 03.
    """
    ends = affine.integer_range(num_bits, signed)
    low, high = affine.dequantize(np.array(ends), scale, zero_point).astype(float)
    margin = 0.2 * (high - low)
    x = np.linspace(low - margin, high + margin, 4001)
    q = affine.quantize(x, scale, zero_point, num_bits, signed)
    y = affine.dequantize(q, scale, zero_point)
    with style():
        figure, axes = panels(8, 5, rows=2, sharex=True, height_ratios=(2.4, 1))
        steps, error = axes[:, 0]
        steps.plot(x, x, color=GREY, linestyle="--", label="x itself")
        steps.plot(x, y, color=BLUE, linewidth=2, label="dequantize(quantize(x))")
        codes = f"scale {scale:.4g}, zero_point {zero_point}, codes {ends[0]} to {ends[1]}"
        steps.set(title=codes, ylabel="result (real units)")
        error.plot(x, y - x, color=VERMILION, linewidth=1.2)
        error.axhspan(-scale / 2, scale / 2, color=PALE, zorder=0, label="± scale / 2")
        error.set(xlabel="x (real units)", ylabel="error (real units)")
        error.set_ylim(-2 * scale, 2 * scale)
        for panel, height in ((steps, 0.5), (error, None)):
            panel.legend(loc="upper left", bbox_to_anchor=(0.15, 1))
            _mark_clipping(panel, low - scale / 2, high + scale / 2, x[0], x[-1], height)
        error.set_xlim(x[0], x[-1])
        _add_code_axis(steps, scale, zero_point, *ends)
    return figure


def _add_code_axis(axes: Axes, scale: float, zero_point: int, qmin: int, qmax: int) -> None:
    """Say on the right-hand side which integer each step is stored as."""
    to_code, to_real = (lambda y: y / scale + zero_point), (lambda q: (q - zero_point) * scale)
    codes = axes.secondary_yaxis("right", functions=(to_code, to_real))
    codes.set_ylabel("code (integer)")
    codes.set_yticks(range(qmin, qmax + 1, max(1, (qmax - qmin + 1) // 8)))


def _mark_clipping(
    axes: Axes, low: float, high: float, left: float, right: float, height: float | None = None
) -> None:
    """Hatch what lies beyond low..high; say so at ``height`` (0 to 1) where there is room."""
    for start, end in ((left, low), (high, right)):
        axes.axvspan(start, end, facecolor="white", edgecolor="#B0B0B0", hatch="//", zorder=0)
        if height is not None and end - start > 0.09 * (right - left):
            axes.text(
                (start + end) / 2,
                height,
                "clipped",
                transform=axes.get_xaxis_transform(),
                ha="center",
                fontsize=10,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            )


def float16_bits(value: float) -> Figure:
    """Draw the 16 bits of ``value`` rounded to float16, and how they make the number.

    ``(-1)**sign * 2**(exponent - 15) * (1 + fraction / 1024)``; an exponent of 0 means
    ``2**-14 * (fraction / 1024)``, one of 31 infinity or NaN. Raises what ``half_precision.bits``
    raises. Defined in lesson 05; IEEE 754, binary16.
    """
    parts = half_precision.bits(value)
    names = ("sign", "exponent", "fraction")
    with style():
        figure = plt.figure(figsize=(8, 2.3))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 8), ylim=(2.3, 0))
        axes.axis("off")
        axes.text(0.15, 0.3, f"{value} in float16", fontsize=12, fontweight="bold", va="center")
        left = 0.15
        tints = ("#F6D5BF", "#BFE3D8", "#CFE8F7")
        for bits, name, tint in zip(parts, names, tints, strict=True):
            _draw_bits(axes, left, bits, f"{name} = {int(bits, 2)}", tint)
            left += _BIT * len(bits) + (0.5 if name == "sign" else 0.2)
        axes.text(0.15, 1.98, _float16_formula(value, *parts), fontsize=13, va="center")
    return figure


_BIT = 0.43  # inches


def _draw_bits(axes: Axes, left: float, bits: str, name: str, tint: str) -> None:
    for i, bit in enumerate(bits):
        place = left + _BIT * i
        axes.add_patch(Rectangle((place, 0.6), _BIT, 0.6, facecolor=tint, edgecolor="black"))
        axes.text(
            place + _BIT / 2, 0.9, bit, ha="center", va="center", fontsize=17, family="monospace"
        )
    axes.text(left, 1.42, name, va="center", fontsize=11)


def _float16_formula(value: float, sign: str, exponent: str, fraction: str) -> str:
    power, part = int(exponent, 2), int(fraction, 2)
    signed = "-" if sign == "1" else "+"
    with np.errstate(over="ignore"):  # above 65504 is infinity in float16: no surprise
        result = f"{float(np.float16(value)):.10g}"
    if power == 31:
        return f"all exponent bits set: {result}"
    if power == 0:
        return rf"${signed}\,2^{{-14}} \times {part}/1024$ = {result}"
    return rf"${signed}\,2^{{{power} - 15}} \times (1 + {part}/1024)$ = {result}"
