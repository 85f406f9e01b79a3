"""The file of lesson 10's open task: a dense layer with batch normalization, one channel dead."""

import io
from collections.abc import Callable

import numpy as np

INPUTS, OUTPUTS, SAMPLES = 8, 6, 200
STILL, DEAD = 3, 4  # an input that never moves, and the output that reads nothing else


def gauge() -> bytes:
    """A trained layer of eight inputs and six outputs, and 200 samples of its inputs, 0 to 1.

    Input 3 is 0.5 in every sample: a sensor that was never plugged in. Output 4 reads this input
    alone, so it did not move while the layer was trained: its variance is nearly zero, and folding
    divides its weight by almost nothing. In float the folded weight and the folded bias cancel; in
    int8 half a step of the input is multiplied by 949.
    """
    random = np.random.default_rng(10)
    samples = random.uniform(0, 1, (SAMPLES, INPUTS))
    samples[:, STILL] = 0.5
    kernel = random.normal(0, 0.8, (INPUTS, OUTPUTS))
    kernel[:, DEAD] = 0
    kernel[STILL, DEAD] = 1.5
    bias, beta = random.normal(0, 0.2, OUTPUTS), random.normal(0, 0.5, OUTPUTS)
    gamma = random.uniform(0.7, 1.4, OUTPUTS)
    bias[DEAD], beta[DEAD], gamma[DEAD] = 0, 0.75, 2
    outputs = samples @ kernel + bias
    variance = outputs.var(axis=0) * random.uniform(0.9, 1.1, OUTPUTS)  # a moving average's
    variance[DEAD] = 1e-11
    arrays = {"kernel": kernel, "bias": bias, "gamma": gamma, "beta": beta}
    arrays |= {"mean": outputs.mean(axis=0), "variance": variance, "epsilon": 1e-5}
    buffer = io.BytesIO()
    np.savez(buffer, samples=np.float32(samples), **{k: np.float32(v) for k, v in arrays.items()})
    return buffer.getvalue()


FILES: dict[str, Callable[[], bytes]] = {"10_gauge.npz": gauge}
