"""Tensors and their errors: a filter on its way through int8, channels, limits, gaps of floats."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lessons_lib.course.plots.drawing import BLUE, VERMILION, panels, style
from lessons_lib.errors import InputError
from lessons_lib.numbers import affine, half_precision, noise


def filter_stages(values: np.ndarray, scale: float) -> Figure:
    """Draw a small matrix as float32, as int8 codes, dequantized, and its errors in steps.

    ``values``: real numbers (rows, columns), at most some dozen; ``scale``: symmetric, in their
    unit per step. Raises what ``affine.quantize`` raises. Defined in lesson 03.
    """
    codes = affine.quantize(values, scale, 0, narrow_range=True)
    back = affine.dequantize(codes, scale, 0)
    top = 1.25 * np.abs(values).max()
    stages = (
        ("float32", values, top, "{:.4f}", f"stored ({4 * codes.size} bytes)"),
        ("int8 codes", codes, 160, "{:d}", f"stored ({codes.size} bytes and a scale)"),
        ("dequantized", back, top, "{:.4f}", f"codes times scale ({scale:.6f})"),
        ("error", (back - values) / scale, 0.8, "{:+.2f}", "at most ± 0.5 (steps)"),
    )
    with style():
        figure, ((axes),) = panels(10, 3.1, 1, 4)
        for axis, (title, numbers, limit, form, caption) in zip(axes, stages, strict=True):
            axis.imshow(numbers, cmap="PuOr_r", vmin=-limit, vmax=limit)
            axis.set(title=title, xlabel=caption, xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            _write_numbers(axis, numbers, limit, form)
    return figure


def _write_numbers(axis: Axes, numbers: np.ndarray, limit: float, form: str) -> None:
    for (row, column), number in np.ndenumerate(numbers):
        colour = "white" if abs(number) > 0.62 * limit else "black"
        words = form.format(number)
        axis.text(column, row, words, ha="center", va="center", fontsize=12, color=colour)


def channel_errors(weights: np.ndarray, scales: Mapping[str, ArrayLike]) -> Figure:
    """Draw the RMS error of each channel over its largest magnitude, for up to two ways.

    ``weights`` (channels, ...) real numbers; ``scales``: symmetric int8 scales by a way's name,
    one number or one for each channel. Dashed is ``scale / sqrt(12)``, what rounding alone gives.
    Raises what ``affine.quantize`` raises. Defined in lesson 03.
    """
    largest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)))
    order = np.argsort(largest)
    with style():
        figure, ((axes,),) = panels(8, 3.8)
        looks = ((VERMILION, "o"), (BLUE, "^"))
        for (way, scale), (colour, marker) in zip(scales.items(), looks, strict=False):
            codes = affine.quantize(weights, scale, 0, narrow_range=True)
            pairs = zip(weights, affine.dequantize(codes, scale, 0), strict=True)
            errors = [1000 * noise.rms_error(*pair) for pair in pairs]
            expected = 1000 * np.broadcast_to(np.ravel(scale), largest.shape) / np.sqrt(12)
            axes.plot(largest, errors, marker, color=colour, markersize=8, label=way)
            axes.plot(largest[order], expected[order], "--", color=colour)
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.set_xlabel("largest magnitude in the channel (weight)")
        axes.set(title="The error of each channel, in int8", ylabel="RMS error (thousandths)")
        axes.grid(axis="y")
        axes.legend(loc="lower right")
    return figure


def rounding_and_clipping(shares: np.ndarray, errors: Mapping[int, np.ndarray]) -> Figure:
    """Draw what a narrower range costs and gains: the error of rounding, of clipping, of both.

    ``shares`` (N,): the limit, as a share of the largest weight; ``errors``: by the number of bits
    an array (N, 2) of mean squared errors, by rounding and by clipping. A diamond marks the least
    sum. Raises InputError for an array of another shape. Defined in lesson 03.
    """
    if wrong := [np.shape(e) for e in errors.values() if np.shape(e) != (len(shares), 2)]:
        raise InputError(f"errors have the shape {wrong[0]}; expected {(len(shares), 2)}")
    with style():
        figure, (axes,) = panels(9, 3.9, 1, len(errors), sharey=True)
        for axis, (num_bits, parts) in zip(axes, errors.items(), strict=True):
            rounding, clipping = parts.T
            both = parts.sum(axis=1)
            shown = np.where(clipping > 0, clipping, np.nan)
            axis.plot(shares, rounding, "--", color=BLUE, label="rounding")
            axis.plot(shares, shown, ":", color=VERMILION, linewidth=2.2, label="clipping")
            axis.plot(shares, both, color="black", linewidth=2, label="both")
            axis.plot(shares[both.argmin()], both.min(), "D", color="black", markersize=8)
            axis.set(title=f"{num_bits} bits", yscale="log", ylim=(1e-8, 2e-3))
            axis.set_xlabel("limit (share of the largest weight)")
            axis.grid(axis="y")
        axes[0].set_ylabel("mean squared error (weight²)")
        axes[0].legend(loc="upper right")
    return figure


def gaps(scale: float) -> Figure:
    """Draw how far the next number is, in float16 and in int8 of this scale, over their size.

    ``scale`` in real units per step. Raises InputError unless it is positive.
    Defined in lesson 05.
    """
    if not scale > 0:
        raise InputError(f"scale is {scale}; expected a positive number (lesson 03)")
    size = np.geomspace(1e-8, 255 * scale, 800)
    with style():
        figure, ((axes,),) = panels(8, 3.6)
        axes.loglog(size, half_precision.spacing(size), color=BLUE, label="float16")
        axes.axhline(scale, color=VERMILION, linestyle="--", label=f"int8, scale {scale:g}")
        axes.set(xlabel="size of the number (real units)", ylabel="gap (real units)")
        axes.set_title("How far is the next number?")
        axes.grid()
        axes.legend(loc="center left")
    return figure
