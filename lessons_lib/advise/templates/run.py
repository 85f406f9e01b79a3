"""Run a .tflite with NumPy and LiteRT alone: ``pip install numpy ai-edge-litert``.

python run.py                     # tests it on the samples in self_test.npz
from run import predict           # outputs = predict({input name: array (N, ...)})
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).resolve().parent
# What is in the file; written when it was made.
MODEL = "recommended.tflite"
# By name: the tensor's place in the file, the shape of one call, the dtype; and, where integers
# stand for real numbers, the scale and the zero point: real = (integer - zero_point) * scale.
INPUTS: dict[str, dict] = {}
OUTPUTS: dict[str, dict] = {}
# What is done to inputs first, by name: (x - mean) / deviation.
NORMALIZE: dict[str, tuple[list, list]] = {}
BATCH = 1  # samples in one call
IN_BATCHES = True  # whether the first axis of inputs and outputs counts samples
STATE = False  # whether the model remembers: then every call starts anew
CLASSES: list[str] = []


def opened() -> Interpreter:
    """Return the interpreter, ready to run."""
    interpreter = Interpreter(str(HERE / MODEL))
    for spec in INPUTS.values():
        interpreter.resize_tensor_input(spec["index"], spec["shape"])
    interpreter.allocate_tensors()
    return interpreter


INTERPRETER = None if STATE else opened()


def predict(samples) -> dict[str, np.ndarray]:
    """Return the outputs by name, (N, ...), for inputs by name, (N, ...); real numbers both.

    A bare array will do where there is one input.
    """
    if not isinstance(samples, dict):
        samples = dict.fromkeys(INPUTS, samples)
    count = len(next(iter(samples.values())))
    calls = [call(samples, start) for start in range(0, count, BATCH)]
    return {name: np.concatenate([one[name] for one in calls])[:count] for name in OUTPUTS}


def call(samples, start: int) -> dict[str, np.ndarray]:
    """Run the samples from ``start`` on, the last one repeated where they are too few."""
    interpreter = INTERPRETER or opened()
    for name, spec in INPUTS.items():
        part = np.asarray(samples[name][start : start + BATCH])
        part = np.concatenate([part, np.repeat(part[-1:], BATCH - len(part), axis=0)])
        if name in NORMALIZE:
            mean, deviation = map(np.float32, NORMALIZE[name])
            part = (part - mean) / deviation
        interpreter.set_tensor(spec["index"], to_codes(part.reshape(spec["shape"]), spec))
    interpreter.invoke()
    return {name: result(interpreter, spec) for name, spec in OUTPUTS.items()}


def result(interpreter: Interpreter, spec: dict) -> np.ndarray:
    """Return one output, the first axis counting the samples."""
    found = to_real(interpreter.get_tensor(spec["index"]), spec)
    return found if IN_BATCHES or found.shape[:1] == (1,) else found[np.newaxis]


def to_codes(real: np.ndarray, spec: dict) -> np.ndarray:
    """Quantize: divide, round half away from zero, clip."""
    if "scale" not in spec:
        return real.astype(spec["dtype"])
    steps = real.astype(np.float32) / np.float32(spec["scale"])
    codes = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + spec["zero_point"]
    limits = np.iinfo(spec["dtype"])
    return np.clip(codes, limits.min, limits.max).astype(spec["dtype"])


def to_real(codes: np.ndarray, spec: dict) -> np.ndarray:
    """Dequantize."""
    if "scale" not in spec:
        return codes
    return (codes.astype(np.float32) - spec["zero_point"]) * np.float32(spec["scale"])


def self_test() -> None:
    """Compare with the outputs that were recorded when the file was made."""
    kept = np.load(HERE / "self_test.npz")
    found = predict({name: kept["input:" + name] for name in INPUTS})
    for name, spec in OUTPUTS.items():
        expected = kept["output:" + name].astype(np.float64)
        # Another processor adds in another order: some steps of an integer, or a part in a hundred.
        largest = np.abs(expected).max(initial=0.0, where=np.isfinite(expected))
        room = max(4 * spec.get("scale", 0.0), 0.01 * largest)
        if found[name].shape != expected.shape or not np.allclose(
            found[name], expected, rtol=0, atol=room, equal_nan=True
        ):
            sys.exit(
                f"failed: {name} is {found[name].ravel()[:5]}, expected {expected.ravel()[:5]}"
            )
    print(f"passed: {len(expected)} samples give what they gave when {MODEL} was made")


if __name__ == "__main__":
    self_test()
