"""The real runtimes on this machine, for the tests that compare with them."""

import platform

import numpy as np
import pytest

from lessons_lib import micro, runtime

# What the engine knows of builtin and xnnpack are the kernels for x86-64.
ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
on_x86 = pytest.mark.skipif(
    not ON_X86, reason="builtin and xnnpack have other kernels on other processors"
)
needs_micro = pytest.mark.skipif(
    not micro.installed(), reason="tflite-micro is built for Linux on x86-64 only"
)


def answer(content: bytes, x: np.ndarray, kernels: str) -> np.ndarray:
    """What a real runtime computes for native input."""
    if kernels == "tflm":
        return micro.run(content, x)
    return runtime.Model(content, kernels=kernels).run(x)
