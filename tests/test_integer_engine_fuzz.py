"""The engine against the runtimes themselves, on single-operator models that hypothesis draws."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import integer_models
from lessons_lib import integer_engine, micro
from lessons_lib.errors import ModelFileError
from raw_runtimes import raw_answer
from runtimes import ON_X86

EXAMPLES = 40


def at_hand(case: integer_models.Case) -> list[str]:
    """The runtimes of this machine that take the case."""
    here = {"reference": True, "tflm": micro.installed()}
    return [name for name in case.runtimes if here.get(name, ON_X86)]


@pytest.mark.parametrize("operator", integer_models.OPERATORS)
def test_the_engine_gives_the_integers_of_every_runtime(operator):
    expected, compared = set(), set()

    @given(case=integer_models.OPERATORS[operator])
    @settings(
        max_examples=EXAMPLES,
        # The same cases in each run of this file: a failure is a change of the code. (Beside other
        # files they are others: hypothesis takes constants from the modules that are loaded.)
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def compare(case):
        expected.update(at_hand(case))
        compared.update(check(case))

    compare()
    assert compared == expected, "a runtime or the engine refused every case"


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("input_scale", [0.25, 0.1, 0.3, 0.37, 0.7, 1.1])
def test_dense_layers_at_ties(input_scale, per_channel):
    """What the runtimes do there was found only by looking for it: trained models have no ties."""
    assert check(integer_models.dense_at_ties(input_scale, per_channel))


@pytest.mark.parametrize("zero_point", [-2, 0, 3])
@pytest.mark.parametrize(("activation", "scale"), [("RELU_N1_TO_1", 2.0), ("RELU6", 12.0)])
@pytest.mark.parametrize("operator", ["ADD", "CONV_2D", "MAX_POOL_2D"])
def test_activations_that_end_at_a_tie(operator, activation, scale, zero_point):
    assert check(integer_models.clipped_at_a_tie(operator, activation, scale, zero_point))


def check(case: integer_models.Case) -> set[str]:
    """Compare; return the runtimes that took the case."""
    compared = set()
    for kernels in at_hand(case):
        try:
            expected = raw_answer(case.content, case.x, kernels)
        except ModelFileError:
            continue
        result = integer_engine.run(case.content, case.x, kernels=kernels)
        require_equal(result, expected, kernels)
        if kernels == "tflm" and not has_floats(case.x) and not has_floats(expected):
            guarded = integer_engine.run(case.content, case.x, kernels=kernels, strict=True)
            require_equal(guarded, expected, kernels)
        compared.add(kernels)
    return compared


def has_floats(result) -> bool:
    return not isinstance(result, dict) and result.dtype.kind == "f"


def require_equal(result, expected, kernels: str) -> None:
    if isinstance(expected, dict):
        assert set(result) == set(expected)
        for name, array in expected.items():
            require_equal(result[name], array, kernels)
        return
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(result, expected), kernels
