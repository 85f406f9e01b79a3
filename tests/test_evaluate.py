import numpy as np
import pytest
from scipy.stats import binomtest

from lessons_lib import evaluate
from lessons_lib.errors import InputError


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (981, 1000), (1, 1)])
def test_wilson_interval_is_scipys(k, n):
    ours = evaluate.Proportion(k, n)
    theirs = binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.low <= ours.value <= ours.high


def test_the_interval_covers_the_truth_about_95_times_in_100():
    random = np.random.default_rng(0)
    drawn = random.binomial(1000, 0.97, size=4000)
    covered = [(p := evaluate.Proportion(int(k), 1000)).low <= 0.97 <= p.high for k in drawn]
    assert 0.94 < np.mean(covered) < 0.965


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (3, 3), (0, 1), (1, 9), (265, 218), (0, 20)])
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    n = gained + lost
    expected = binomtest(gained, n, 0.5).pvalue if n else 1.0
    assert evaluate.Flips(gained, lost).p_value == pytest.approx(expected, rel=1e-9)


def test_flips_counts_both_directions():
    labels = np.array([0, 1, 2, 3, 4])
    before = np.array([0, 1, 0, 0, 4])
    after = np.array([0, 0, 2, 0, 0])
    assert evaluate.flips(before, after, labels) == evaluate.Flips(gained=1, lost=2)


def test_accuracy_and_agreement_count():
    a, b = np.array([1, 2, 3, 4]), np.array([1, 2, 3, 0])
    assert evaluate.accuracy(a, b) == evaluate.agreement(b, a) == evaluate.Proportion(3, 4)
    assert str(evaluate.Proportion(3, 4)) == "75.0% [30.1%, 95.4%]"


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_an_impossible_proportion_is_refused(k, n):
    with pytest.raises(InputError, match="not a proportion"):
        evaluate.Proportion(k, n)


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        (np.zeros((4, 10), int), np.zeros(4, int), "argmax"),
        (np.zeros(3, int), np.zeros(4, int), "one shape"),
        (np.zeros(0, int), np.zeros(0, int), "one shape"),
        (np.zeros(4), np.zeros(4, int), "integers"),
    ],
)
def test_what_is_no_list_of_classes_is_refused(predicted, labels, message):
    with pytest.raises(InputError, match=message):
        evaluate.accuracy(predicted, labels)


def test_counts_of_flips_are_not_negative():
    with pytest.raises(InputError, match="not negative"):
        evaluate.Flips(-1, 3)


def beaten_by_definition(cost, value, i):
    return any(
        cost[j] <= cost[i] and value[j] >= value[i] and (cost[j], value[j]) != (cost[i], value[i])
        for j in range(len(cost))
    )


def test_the_front_is_what_no_candidate_beats():
    random = np.random.default_rng(0)
    cost, value = random.integers(0, 12, 50), random.integers(0, 12, 50)
    expected = [not beaten_by_definition(cost, value, i) for i in range(50)]
    assert list(evaluate.pareto(cost, value)) == expected
    assert 0 < sum(expected) < 50


def test_equal_candidates_stay_together_on_the_front():
    assert list(evaluate.pareto([1, 1, 2], [0.9, 0.9, 0.9])) == [True, True, False]
    assert list(evaluate.pareto([], [])) == []


def test_a_difference_within_the_tolerance_beats_nobody_and_excuses_no_loss():
    cost, value = [64_808, 64_976, 65_800], [0.9, 0.9, 0.9]
    assert list(evaluate.pareto(cost, value)) == [True, False, False]
    assert list(evaluate.pareto(cost, value, tolerance=0.01)) == [True, True, False]
    # As small as the smallest within 1 %, and better: it beats both.
    assert list(evaluate.pareto(cost, [0.9, 0.95, 0.9], tolerance=0.01)) == [False, True, False]


def test_a_tolerance_leaves_at_least_one_on_the_front():
    random = np.random.default_rng(0)
    for _ in range(100):
        cost, value = 100 + random.integers(0, 9, 12), random.integers(0, 3, 12)
        assert evaluate.pareto(cost, value, tolerance=0.02).any()


@pytest.mark.parametrize("tolerance", [-0.01, 1, float("nan")])
def test_a_tolerance_is_a_share(tolerance):
    with pytest.raises(InputError, match="tolerance"):
        evaluate.pareto([1, 2], [1, 1], tolerance)


@pytest.mark.parametrize(
    ("cost", "value", "message"),
    [([1, 2], [1], "one shape"), ([[1]], [[1]], "one shape"), ([1, 2], [1, np.nan], "NaN")],
)
def test_what_has_no_front_is_refused(cost, value, message):
    with pytest.raises(InputError, match=message):
        evaluate.pareto(cost, value)
