"""Fixed-point arithmetic against NumPy's floats and exact fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from lessons_lib import fixed_point
from lessons_lib.errors import FloatError
from lessons_lib.numbers.fixed_point import IntegersOnly


def ties_up(x: Fraction) -> int:
    return floor(x + Fraction(1, 2))


def ties_away(x: Fraction) -> int:
    return ties_up(x) if x >= 0 else -ties_up(-x)


NUMBERS = np.concatenate(
    [np.arange(-40, 41), np.random.default_rng(9).integers(-(2**31), 2**31, 300)]
)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 31])
def test_shifts_round_as_they_say(n):
    exact = [Fraction(int(x), 2**n) for x in NUMBERS]
    assert fixed_point.shift_ties_up(NUMBERS, n).tolist() == list(map(ties_up, exact))
    assert fixed_point.shift_ties_away(NUMBERS, n).tolist() == list(map(ties_away, exact))


def test_the_high_half_of_a_product_has_its_ties_up():
    for factor in (2**30, 3 * 2**29, 1_672_461_947, -(2**30)):
        exact = [ties_up(Fraction(int(x) * factor, 2**31)) for x in NUMBERS]
        assert fixed_point.high_multiply(NUMBERS, factor).tolist() == exact


@pytest.mark.parametrize("shift", [-9, -1, 0, 3])
@pytest.mark.parametrize("up", [False, True])
def test_double_rounding_rounds_twice(shift, up):
    acc, multiplier = NUMBERS >> 6, 3 * 2**29
    second = ties_up if up else ties_away
    exact = [
        second(Fraction(ties_up(Fraction((int(x) << max(shift, 0)) * multiplier, 2**31)), 2**n))
        for x in acc
        for n in [max(-shift, 0)]
    ]
    assert fixed_point.double_rounding(acc, multiplier, shift, up).tolist() == exact


def test_the_exponential_is_right_to_22_bits_and_to_the_last_factor():
    x = np.unique(np.concatenate([-np.geomspace(1, 2**31 - 1, 4_000).astype(np.int64), [0]]))
    found = fixed_point.exp_of_negative(x) / 2**31
    np.testing.assert_allclose(found, np.exp(x / 2**26), rtol=0, atol=2**-21)
    powers = np.array(fixed_point._EXP_OF_MINUS_POWERS)
    np.testing.assert_allclose(powers, 2**31 * np.exp(-(2.0 ** np.arange(-2, 5))), rtol=0, atol=1)


def test_the_reciprocal_is_right_to_27_bits():
    x = np.linspace(0, 2**31 - 1, 4_001).astype(np.int64)
    found = fixed_point.reciprocal_of_one_plus(x) / 2**31
    np.testing.assert_allclose(found, 1 / (1 + x / 2**31), rtol=0, atol=2**-27)


@pytest.mark.parametrize("shift", [-9, 0, 3])
def test_wide_rounding_keeps_15_bits_of_the_multiplier_and_rounds_once(shift):
    acc, multiplier = NUMBERS << 12, 1_672_461_947
    exact = [ties_up(Fraction(int(x) * (multiplier + 2**15 >> 16), 2 ** (15 - shift))) for x in acc]
    found = fixed_point.wide_rounding(acc, np.int64(multiplier), np.int64(shift))
    assert found.tolist() == exact
    most = fixed_point.wide_rounding(np.int64(2**15), np.int64(2**31 - 1), np.int64(0))
    assert most == 0x7FFF  # not rounded up to 16 bits


@pytest.mark.parametrize(
    ("integer_bits", "bits", "error"), [(4, 31, 2**-20), (3, 15, 2**-12), (4, 15, 2**-11)]
)
def test_the_curves_are_as_right_as_their_bits_allow(integer_bits, bits, error):
    x = np.linspace(-(2**bits) + 1, 2**bits - 1, 20_001).astype(np.int64)
    real = x / 2.0 ** (bits - integer_bits)
    logistic = fixed_point.logistic(x, integer_bits, bits) / 2**bits
    tanh = fixed_point.tanh(x, integer_bits, bits) / 2**bits
    np.testing.assert_allclose(logistic, 1 / (1 + np.exp(-real)), rtol=0, atol=error)
    np.testing.assert_allclose(tanh, np.tanh(real), rtol=0, atol=2 * error)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x * 0.5,
        lambda x: x / 2,
        lambda x: x > 0.5,
        lambda x: x.astype(np.float32),
        lambda x: np.mean(x),
        lambda x: np.stack([x, x]) + np.float32(1),
        lambda x: np.add(x, 0.6, out=np.zeros(3, np.int64), casting="unsafe"),
    ],
)
def test_a_float_is_refused(compute):
    with pytest.raises(FloatError, match="float"):
        compute(np.arange(3).view(IntegersOnly))


def test_integers_pass_and_stay_guarded():
    x = np.arange(6).view(IntegersOnly)
    for result in (x + 1, x @ x.reshape(6, 1), np.where(x > 2, x, 0), x.sum(), x.astype(np.int8)):
        assert isinstance(result, IntegersOnly)
    assert np.clip(x, 1, 3).tolist() == [1, 1, 2, 3, 3, 3]
