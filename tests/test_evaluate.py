import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, bootstrap

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
        (np.zeros((4, 10), int), np.zeros(4, int), r"argmax\(axis=1\)"),
        (np.zeros((4, 1), int), np.zeros(4, int), r"outputs\[:, 0\] > 0.5"),
        (np.zeros((4, 6, 6), int), np.zeros((4, 6, 6), int), r"argmax\(axis=-1\).*segmentation"),
        (np.zeros((4, 6, 1), int), np.zeros((4, 6), int), r"argmax\(axis=-1\).*segmentation"),
        (np.zeros((), int), np.zeros((), int), "no list of samples"),
        (np.zeros(3, int), np.zeros(4, int), "one shape"),
        (np.zeros(0, int), np.zeros(0, int), "one shape"),
        (np.zeros(4), np.zeros(4, int), "integers.*outputs > 0.5.*regression"),
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


def error_if(drop, lost, gained, total):
    """Tango's standard error by definition: the likeliest shares of flips under that drop."""

    def unlikely(share_gained):
        shares = share_gained + drop, share_gained, 1 - 2 * share_gained - drop
        counts = lost, gained, total - lost - gained
        return -sum(n * math.log(max(p, 1e-300)) for n, p in zip(counts, shares, strict=True) if n)

    ends = max(0.0, -drop), (1 - drop) / 2
    gains = minimize_scalar(unlikely, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
    return math.sqrt((2 * gains + drop * (1 - drop)) / total)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 900))
def test_the_interval_of_a_drop_is_tangos(lost, gained, others):
    total = lost + gained + others
    if not total:
        return
    low, high = evaluate.Flips(gained, lost).drop_interval(total)
    seen = (lost - gained) / total
    assert -1 <= low <= seen <= high <= 1
    for end in (low, high):
        if abs(end) < 0.999:
            error = error_if(end, lost, gained, total)
            assert abs(seen - end) == pytest.approx(evaluate.Z_95 * error, rel=1e-4, abs=1e-5)


def test_no_flip_at_all_leaves_room_for_a_drop():
    low, high = evaluate.Flips(0, 0).drop_interval(1000)
    assert high == pytest.approx(evaluate.Z_95**2 / (1000 + evaluate.Z_95**2))
    assert low == pytest.approx(-high)
    assert evaluate.Flips(0, 7).drop_interval(7)[1] == 1
    assert evaluate.Flips(7, 0).drop_interval(7)[0] == -1


def test_the_interval_of_a_drop_covers_the_truth_about_95_times_in_100():
    random = np.random.default_rng(0)
    drawn = random.multinomial(500, [0.03, 0.01, 0.96], size=1500).tolist()
    covered = 0
    for lost, gained, _ in drawn:
        low, high = evaluate.Flips(gained, lost).drop_interval(500)
        covered += low <= 0.02 <= high
    assert 0.935 < covered / 1500 < 0.97


def test_what_mcnemar_calls_significant_leaves_no_room_for_zero():
    for lost in range(30):
        for gained in range(30):
            flips = evaluate.Flips(gained, lost)
            low, high = flips.drop_interval(100)
            assert flips.p_value >= 0.05 or low > 0 or high < 0


def test_more_flips_than_samples_are_refused():
    with pytest.raises(InputError, match="among 5 samples"):
        evaluate.Flips(3, 3).drop_interval(5)


def rejected_by_holm(p_values, level):
    """Holm's procedure as he wrote it: go up the p-values, stop at the first that is too large."""
    rejected = np.zeros(len(p_values), bool)
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] > level / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected


@given(st.lists(st.floats(0, 1), max_size=9), st.floats(0.001, 0.999))
def test_holms_p_values_reject_what_his_procedure_rejects(p_values, level):
    corrected = evaluate.holm(p_values)
    clear = np.abs(corrected - level) > 1e-9
    assert (corrected <= level)[clear].tolist() == rejected_by_holm(p_values, level)[clear].tolist()
    assert (corrected >= p_values).all()


@pytest.mark.parametrize("p_values", [[0.1, float("nan")], [1.2], [-0.1], [[0.5]], 0.5])
def test_what_is_no_list_of_p_values_is_refused(p_values):
    with pytest.raises(InputError, match="from 0 to 1"):
        evaluate.holm(p_values)


def test_the_samples_needed_are_those_of_lesson_8():
    needed = [evaluate.samples_needed(spread, 0.002) for spread in (0.002, 0.005, 0.01, 0.02)]
    assert needed == [3925, 9812, 19623, 39245]
    with pytest.raises(InputError, match="no number of samples"):
        evaluate.samples_needed(0.1, 0)


def test_the_bootstrap_draws_what_scipys_draws():
    numbers = np.random.default_rng(3).exponential(size=80)
    theirs = bootstrap(
        (numbers,), np.mean, n_resamples=2000, rng=np.random.default_rng(0), method="percentile"
    )
    (ours,) = evaluate.bootstrap([lambda counts: counts @ numbers / 80], 80)
    assert np.sort(ours) == pytest.approx(np.sort(theirs.bootstrap_distribution))
    assert np.percentile(ours, [2.5, 97.5]) == pytest.approx(theirs.confidence_interval)


def test_the_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    whole = np.concatenate(list(evaluate.resamples(50)))
    monkeypatch.setattr(evaluate, "_DRAWN_AT_ONCE", 700)
    blocks = list(evaluate.resamples(50))
    assert len(blocks) > 100
    assert (np.concatenate(blocks) == whole).all()
    assert (whole.sum(axis=1) == 50).all()
    assert len(whole) == evaluate.RESAMPLES
