"""Two ways to rewrite float weights before they are quantized, keeping the model's function.

Batch normalization is folded into the layer before it, for the integer model has no operator for
it; cross-layer equalization makes channels alike, so that they can share one scale. Only NumPy.
"""

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import InputError


def fold_batch_norm(
    kernel: ArrayLike,
    bias: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    epsilon: float,
    axis: int = -1,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and bias of one layer that does what layer and batch normalization did.

        factor = gamma / sqrt(variance + epsilon)
        kernel' = kernel * factor        bias' = (bias - mean) * factor + beta

    ``kernel``: real numbers with ``channels`` output channels along ``axis`` (-1 in Keras, 2 for
    its DepthwiseConv2D with one filter a channel; 0 in TFLite, 3 for its depthwise convolution).
    ``bias`` (0.0 where the layer has none) and the other four are numbers or (channels,). The
    arithmetic is in float64, rounded once: both results are float32.
    Raises InputError when shapes do not fit, a number is not finite, or ``variance + epsilon`` is
    not positive. Defined in lesson 10. Source: Jacob et al., 2018, section 3.2.
    """
    kernel = _float64("kernel", kernel)
    channels = _channels("kernel", kernel, axis)
    given = {"bias": bias, "gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    arrays = {name: _per_channel(name, values, channels) for name, values in given.items()}
    spread = arrays["variance"] + epsilon
    if not np.all(spread > 0):
        raise InputError(
            f"variance + epsilon is {spread.min():g}: a variance is not negative (lesson 10)"
        )
    factor = arrays["gamma"] / np.sqrt(spread)
    folded_bias = (arrays["bias"] - arrays["mean"]) * factor + arrays["beta"]
    folded = kernel * _along(factor, axis, kernel.ndim)
    return folded.astype(np.float32), folded_bias.astype(np.float32)


def rescale(
    first_kernel: ArrayLike,
    first_bias: ArrayLike,
    second_kernel: ArrayLike,
    factor: ArrayLike,
    first_axis: int = -1,
    second_axis: int = -2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both kernels and the first bias, each channel between the layers rescaled.

        first' = first / factor        bias' = bias / factor        second' = second * factor

    The function stays the same if what stands between the layers is positively homogeneous,
    ``f(c * x) == c * f(x)`` for c > 0, channel by channel: ReLU and pooling are, ReLU6 and sigmoid
    are not. ``first_axis``: the output channels of the first kernel; ``second_axis``: the input
    channels of the second (-2 for a Keras Conv2D or Dense; 2 for a DepthwiseConv2D, as either).
    A batch normalization in between is the first layer: gamma its kernel (``first_axis=0``), beta
    its bias. ``factor``: positive numbers (channels,). Results: float32, computed in float64.
    Raises InputError when the layers do not share their channels, or a number is not finite or a
    factor not positive. Defined in lesson 10. Source: Nagel et al., 2019 (arXiv:1906.04721), 4.1.
    """
    first, second = _float64("first_kernel", first_kernel), _float64("second_kernel", second_kernel)
    channels = _shared_channels(first, first_axis, second, second_axis)
    bias = _per_channel("first_bias", first_bias, channels)
    factor = _per_channel("factor", factor, channels)
    if not np.all(factor > 0):
        raise InputError(f"factor holds {factor.min():g}; expected positive numbers (lesson 10)")
    return (
        (first / _along(factor, first_axis, first.ndim)).astype(np.float32),
        (bias / factor).astype(np.float32),
        (second * _along(factor, second_axis, second.ndim)).astype(np.float32),
    )


def equalize(
    first_kernel: ArrayLike,
    first_bias: ArrayLike,
    second_kernel: ArrayLike,
    first_axis: int = -1,
    second_axis: int = -2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both kernels and the first bias after cross-layer equalization: ``rescale`` with

        factor = sqrt(largest |first| / largest |second|)        for each channel between the two

    Then channel i of the first kernel and channel i of the second have the same largest magnitude,
    the geometric mean of what they had. A channel that is all zeros on one side keeps its values.
    Arguments, results and errors are those of ``rescale``. Defined in lesson 10.
    Source: Nagel et al., 2019 (arXiv:1906.04721), section 4.1.
    """
    first, second = _float64("first_kernel", first_kernel), _float64("second_kernel", second_kernel)
    channels = _shared_channels(first, first_axis, second, second_axis)
    ranges = _magnitudes(first, first_axis), _magnitudes(second, second_axis)
    usable = (ranges[0] > 0) & (ranges[1] > 0)
    factor = np.sqrt(np.divide(*ranges, out=np.ones(channels), where=usable))
    return rescale(first, first_bias, second, factor, first_axis, second_axis)


def _shared_channels(
    first: np.ndarray, first_axis: int, second: np.ndarray, second_axis: int
) -> int:
    channels = _channels("first_kernel", first, first_axis)
    if _channels("second_kernel", second, second_axis) != channels:
        raise InputError(
            f"first_kernel of shape {first.shape} gives {channels} channels along axis "
            f"{first_axis}, second_kernel of shape {second.shape} takes "
            f"{second.shape[second_axis]} along axis {second_axis} (lesson 10)"
        )
    return channels


def _float64(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(values)):
        raise InputError(f"{name} holds NaN or inf; expected finite numbers (lesson 10)")
    return values


def _channels(name: str, kernel: np.ndarray, axis: int) -> int:
    if not -kernel.ndim <= axis < kernel.ndim:
        raise InputError(f"{name} of shape {kernel.shape} has no axis {axis} (lesson 10)")
    return kernel.shape[axis]


def _per_channel(name: str, values: ArrayLike, channels: int) -> np.ndarray:
    values = _float64(name, values)
    if values.shape not in ((), (channels,)):
        raise InputError(
            f"{name} has shape {values.shape}; expected ({channels},), a number for each channel "
            "of the kernel (is axis right? lesson 10)"
        )
    return np.broadcast_to(values, channels)


def _along(values: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    """One number for each channel, in a shape that broadcasts against the kernel."""
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)


def _magnitudes(kernel: np.ndarray, axis: int) -> np.ndarray:
    """The largest magnitude in each channel."""
    others = tuple(a for a in range(kernel.ndim) if a != axis % kernel.ndim)
    return np.abs(kernel).max(axis=others)
