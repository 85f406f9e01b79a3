"""verdict: what is said of a path beside float32, and when it may be said."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from lessons_lib import evaluate, measures, runtime, tasks, verdict
from lessons_lib.errors import InputError
from reference import converted, digits


def classifier(count=1000, seed=0):
    """Probabilities that are right for nine of ten, and the classes."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 5, count)
    shown = np.where(random.random(count) < 0.9, classes, (classes + 1) % 5)
    return 0.6 * np.eye(5)[shown] + 0.08, classes


def with_flips(probabilities, classes, lost, gained):
    """The same, but ``lost`` right samples turn wrong and ``gained`` wrong ones right."""
    right = probabilities.argmax(axis=1) == classes
    other = (classes + 2) % 5
    shown = probabilities.argmax(axis=1)
    shown[np.flatnonzero(right)[:lost]] = other[np.flatnonzero(right)[:lost]]
    shown[np.flatnonzero(~right)[:gained]] = classes[np.flatnonzero(~right)[:gained]]
    return 0.6 * np.eye(5)[shown] + 0.08


def judged(lost, gained, count=1000, **options):
    probabilities, classes = classifier(count)
    found = tasks.recognise(probabilities, classes)
    path = with_flips(probabilities, classes, lost, gained)
    return verdict.judge(found, probabilities, {"int8": path}, **options)["int8"]


@pytest.mark.parametrize(
    ("flips", "count", "kind", "decision", "words"),
    [
        ((0, 0), 1000, "no change seen", "passes", r"no change seen \(a drop above 0.38 points"),
        ((3, 5), 1000, "change within noise", "passes", "lost 3, gained 5, p = 0.73; a drop above"),
        ((9, 6), 1000, "too few test samples", "undecided", r"about 1,178 .* a drop of 1 point "),
        (
            (80, 20),
            1000,
            "real drop",
            "fails",
            r"\(95 %: from 4.1 points to 8 points, lost 80, gained 20, p < 1e-6",
        ),
        ((20, 80), 1000, "real gain", "passes", r"real gain \(95 %: from 4.1 points to 8 points"),
        (
            (7, 0),
            5000,
            "real drop",
            "passes",
            r"real drop, within the limit of 1 point \(95 %: from 0.0\d+ points to 0.29",
        ),
        ((0, 0), 100, "too few test samples", "undecided", r"about 785 needed .* \(100 given"),
        ((5, 0), 100, "real drop", "fails", "lost 5, gained 0, p = 0.062"),
        ((4, 0), 100, "too few test samples", "undecided", "lost 4, gained 0, p = 0.12"),
        ((9, 0), 100, "real drop", "fails", "lost 9, gained 0, p = 0.0039"),
        ((31, 19), 1000, "too few test samples", "undecided", "about 3,925 needed"),
        (
            (60, 10),
            4000,
            "real drop",
            "undecided",  # the limit lies inside, though the drop seen is above it
            r"from 0.8\d points to 1.7 points, .*\); undecided: about 9,\d{3} samples would tell",
        ),
        ((55, 50), 10_000, "change within noise", "passes", "can be ruled out"),
    ],
)
def test_a_verdict_in_words(flips, count, kind, decision, words):
    judgement = judged(*flips, count)
    assert (judgement.kind, judgement.decision) == (kind, decision)
    (finding,) = judgement.findings
    assert re.search(words, judgement.verdict), judgement.verdict
    assert finding.flips == evaluate.Flips(gained=flips[1], lost=flips[0])
    assert finding.p_value == pytest.approx(
        stats.binomtest(flips[0], sum(flips), 0.5).pvalue if sum(flips) else 1
    )
    wilson = stats.binomtest(round(finding.measured.value * count), count)
    interval = wilson.proportion_ci(method="wilson")
    assert (finding.measured.low, finding.measured.high) == pytest.approx(tuple(interval))


def test_the_largest_drop_is_the_callers():
    assert judged(80, 20, max_drop=0.1).decision == "passes"
    assert judged(3, 5, max_drop=0.001).decision == "undecided"
    for nonsense in (0, 1, -0.1, math.nan):
        with pytest.raises(InputError, match="max_drop"):
            judged(1, 0, max_drop=nonsense)


def test_a_share_is_a_number_or_per_cent():
    assert [verdict.share(given) for given in (None, 0.06, "0.06", "6%", " 6 % ")] == (
        [None] + [pytest.approx(0.06)] * 4
    )
    for nonsense in ("much", "%", "6%1 %", ""):
        with pytest.raises(InputError, match="expected a share such as"):
            verdict.share(nonsense)


def test_seven_paths_are_corrected_together():
    """One path of seven with p = 0.03 is what chance gives; alone it is a finding."""
    probabilities, classes = classifier()
    found = tasks.recognise(probabilities, classes)
    odd = with_flips(probabilities, classes, 6, 0)
    alone = verdict.judge(found, probabilities, {"int8": odd})
    assert alone["int8"].kind == "real drop"
    paths = {f"path {number}": probabilities for number in range(6)} | {"int8": odd}
    together = verdict.judge(found, probabilities, paths)
    (finding,) = together["int8"].findings
    assert finding.p_holm == pytest.approx(7 * finding.p_value)
    assert together["int8"].kind == "change within noise"


def test_files_of_digits_are_judged_as_their_flips_say():
    images, labels = digits().hard.images, digits().hard.labels
    models = {path: runtime.Model(converted()[path]) for path in ("float32", "int8", "float16")}
    outputs = {path: model.predict(images) for path, model in models.items()}
    by_float = outputs.pop("float32")
    judgements = verdict.judge(tasks.recognise(by_float, labels), by_float, outputs)
    classes = {path: model.classes(images) for path, model in models.items()}
    for path, judgement in judgements.items():
        (finding,) = judgement.findings
        expected = evaluate.accuracy(classes[path], labels)
        measured = finding.measured
        assert (measured.value, measured.low) == (expected.value, expected.low)
        assert finding.flips == evaluate.flips(classes["float32"], classes[path], labels)
        assert judgement.kind in ("no change seen", "change within noise", "too few test samples")
        assert not finding.warning


def regression(count=500):
    random = np.random.default_rng(0)
    price = 190_000 + 60_000 * random.normal(size=count)
    return price, (price + random.normal(0, 5000, count))[:, None].astype(np.float32)


def test_a_quantity_is_compared_by_the_paired_bootstrap():
    price, output = regression()
    worse = output + 4000 * np.sign(output - price[:, None])
    found = tasks.recognise({"price": output}, price)
    paths = {"worse": {"price": worse}, "same": {"price": output}}
    judgements = verdict.judge(found, {"price": output}, paths)
    (finding,) = judgements["worse"].findings
    errors = [np.abs(side[:, 0].astype(np.float64) - price) for side in (output, worse)]
    assert finding.drop.value == pytest.approx(np.mean(errors[1] - errors[0]))
    theirs = stats.bootstrap(
        (errors[1],), np.mean, n_resamples=2000, rng=np.random.default_rng(0), method="percentile"
    ).confidence_interval
    # The middle 95 % of the same draws; theirs lie between two of them.
    assert (finding.measured.low, finding.measured.high) == pytest.approx(tuple(theirs), rel=2e-3)
    assert finding.limit == pytest.approx(0.01 * errors[0].mean())
    assert (judgements["worse"].kind, judgements["worse"].decision) == ("real drop", "fails")
    assert judgements["worse"].verdict.startswith("real drop (95 %: from 4e+03 to 4e+03")
    assert judgements["same"].verdict == "no change seen (in any sample)"
    assert judgements["same"].decision == "passes"


@pytest.mark.parametrize(("limit", "decision"), [(0.02, "fails"), (0.035, "passes")])
def test_a_mean_too_says_about_how_many_samples_would_decide(limit, decision):
    price, output = regression(8000)
    noisy = output + np.random.default_rng(1).normal(0, 1100, output.shape)

    def found(count):
        one = tasks.recognise(output[:count], price[:count])
        return verdict.judge(one, output[:count], {"int8": noisy[:count]}, max_drop=limit)["int8"]

    few, many = found(2000), found(8000)
    (finding,) = few.findings
    assert (few.kind, few.decision) == ("real drop", "undecided")
    asked = re.search("; undecided: about ([0-9,]+) samples would tell", few.verdict)
    end = finding.drop.high if decision == "passes" else finding.drop.low
    reach = (end - finding.drop.value) / (finding.limit - finding.drop.value)
    assert int(asked[1].replace(",", "")) == math.ceil(2000 * reach**2) < 8000
    assert many.decision == decision and "undecided" not in many.verdict


def test_a_small_real_drop_stays_one_among_many_paths():
    """2,000 resamples cannot say less than p = 0.001, and times 60 that would be no finding."""
    price, output = regression()
    found = tasks.recognise(output, price)
    worse = output + 4000 * np.sign(output - price[:, None])
    paths = {str(number): worse for number in range(60)}
    assert {j.kind for j in verdict.judge(found, output, paths).values()} == {"real drop"}


def test_the_bootstraps_test_finds_nothing_where_nothing_is():
    random = np.random.default_rng(0)
    target = random.normal(size=200)
    noise = random.normal(0, 0.1, (200, 60))
    found = tasks.recognise(target[:, None] + noise[:, :1], target)
    paths = {str(number): target[:, None] + noise[:, number : number + 1] for number in range(60)}
    judgements = verdict.judge(found, paths.pop("0"), paths)
    findings = [judgement.findings[0] for judgement in judgements.values()]
    assert np.mean([finding.p_value < 0.05 for finding in findings]) < 0.2
    assert not any(finding.real for finding in findings)


def test_an_area_of_1_still_leaves_room():
    """No resample of a perfect order differs; that proves little with six strange samples."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 8))
    strange = np.arange(60) < 6
    rebuilt = x + np.where(strange, 1.0, 0.1)[:, None]
    found = tasks.recognise(rebuilt, strange, inputs=x)
    judgement = verdict.judge(found, rebuilt, {"int8": rebuilt + 1e-3})["int8"]
    (finding,) = judgement.findings
    assert (finding.measured.value, finding.float_measured.value) == (1, 1)
    assert finding.drop.high == pytest.approx(evaluate.Z_95**2 / (6 + evaluate.Z_95**2))
    assert judgement.kind == "too few test samples"


def test_a_static_autoencoder_that_loses_its_order_fails():
    random = np.random.default_rng(0)
    strange = random.integers(0, 2, 1000)
    x = random.normal(size=(1000, 8))
    rebuilt = x + random.normal(0, 0.1, x.shape) * (1 + strange)[:, None]
    clipped = np.clip(rebuilt, -1, 1)
    found = tasks.recognise(rebuilt, strange, inputs=x)
    assert verdict.judge(found, rebuilt, {"int8": clipped})["int8"].kind == "real drop"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: np.where(np.arange(len(p))[:, None] == 3, np.nan, p), r"1 of 1000 samples hold"),
        (lambda p: np.where(np.arange(len(p))[:, None] < 2, np.inf, p), r"\(sample 0: inf\)"),
        (lambda p: np.full_like(p, 0.2), "the same for all samples, and float32's is not"),
    ],
)
def test_a_broken_path_is_no_class_0(spoil, words):
    probabilities, classes = classifier()
    found = tasks.recognise(probabilities, classes)
    paths = {"float16": spoil(probabilities), "int8": probabilities}
    judgements = verdict.judge(found, probabilities, paths)
    assert (judgements["float16"].kind, judgements["float16"].decision) == ("broken", "fails")
    assert re.search(words, judgements["float16"].verdict)
    assert judgements["int8"].kind == "no change seen"


def test_a_dead_float_model_allows_no_statement():
    """Random weights give the same probabilities for all inputs, and every path agrees with it."""
    _, classes = classifier()
    output = np.full((1000, 5), 0.2) + np.random.default_rng(0).normal(0, 1e-9, (1000, 5))
    output = output.astype(np.float32)
    judgement = verdict.judge(tasks.recognise(output, classes), output, {"int8": output})["int8"]
    assert (judgement.kind, judgement.decision) == ("no statement", "undecided")
    assert "same for all samples" in judgement.verdict


def test_a_float_model_that_is_not_better_than_guessing_is_said():
    probabilities, classes = classifier()
    wrong_order = (classes + 2) % 5
    found = tasks.recognise(probabilities, wrong_order)
    (finding,) = verdict.judge(found, probabilities, {"int8": probabilities})["int8"].findings
    assert "order of the classes" in finding.warning
    worse = with_flips(probabilities, classes, 300, 0)
    judgements = verdict.judge(found, probabilities, {"int8": probabilities, "uint8": worse})
    for judgement in judgements.values():
        assert (judgement.kind, judgement.decision) == ("no statement", "undecided")
    assert verdict.frame(judgements)["verdict"].str.contains("order of the classes").all()
    found = tasks.recognise(probabilities, classes)
    (finding,) = verdict.judge(found, probabilities, {"int8": probabilities})["int8"].findings
    assert finding.warning == ""


def test_without_targets_there_is_no_statement_on_accuracy():
    probabilities, _ = classifier()
    near = probabilities + np.random.default_rng(0).normal(0, 0.001, probabilities.shape)
    far = np.roll(probabilities, 1, axis=0)
    found = tasks.recognise(probabilities)
    judgements = verdict.judge(found, probabilities, {"near": near, "far": far})
    assert {j.verdict.split(":")[0] for j in judgements.values()} == {
        "no targets, so no statement on accuracy"
    }
    assert (judgements["near"].decision, judgements["far"].decision) == ("passes", "fails")
    assert "below the limit of 20 dB and 99% agreement" in judgements["far"].verdict
    (finding,) = judgements["near"].findings
    assert math.isnan(finding.p_holm) and math.isnan(finding.drop.value)
    assert finding.also["agreement"] == 1
    # Near in dB, and yet another class for 2 of 100, whose two largest are neighbours.
    close = probabilities.copy()
    close[:20] = [0.3, 0.3001, 0.2, 0.1, 0.0999]
    turned = close.copy()
    turned[:20] = [0.3001, 0.3, 0.2, 0.1, 0.0999]
    (finding,) = verdict.judge(tasks.recognise(close), close, {"int8": turned})["int8"].findings
    assert finding.measured.value > 60
    assert (finding.also["agreement"], finding.decision) == (0.98, "fails")


def test_a_lost_column_is_named_though_the_whole_is_near():
    random = np.random.default_rng(0)
    boxes, scores = random.uniform(0, 300, (100, 16, 4)), random.random((100, 16, 3))
    output = np.concatenate([boxes, scores], axis=-1).astype(np.float32)
    rounded = 1.2 * np.rint(output / 1.2)
    judgement = verdict.judge(tasks.recognise(output), output, {"int8": rounded})["int8"]
    assert judgement.decision == "undecided"
    assert "accuracy: 45.2 dB centred SQNR, channel" in judgement.verdict
    assert "of the last axis is lost (" in judgement.verdict


def test_of_several_outputs_the_worst_decides():
    probabilities, classes = classifier()
    price, output = regression(1000)
    by_float = {"label": probabilities, "price": output}
    found = tasks.recognise(by_float, {"label": classes, "price": price})
    bad = {"label": probabilities, "price": np.clip(output, None, 190_000)}
    lost = {"label": with_flips(probabilities, classes, 80, 0), "price": output}
    judgements = verdict.judge(found, by_float, {"bad": bad, "lost": lost, "same": by_float})
    assert [j.decision for j in judgements.values()] == ["fails", "fails", "passes"]
    assert judgements["bad"].verdict.startswith("price: real drop")
    assert judgements["lost"].verdict.startswith("label: real drop")
    table = verdict.frame(judgements)
    assert table.shape == (6, 13)
    assert table.loc["bad", "output"].tolist() == ["label", "price"]


def test_ones_own_metric_is_judged_like_any_other():
    probabilities, classes = classifier(200)

    def shares_right(outputs, targets):
        return float(np.mean(outputs.argmax(axis=1) == targets))

    found = tasks.recognise(probabilities, classes, metric=shares_right)
    worse = with_flips(probabilities, classes, 80, 0)
    judgements = verdict.judge(found, probabilities, {"int8": worse, "same": probabilities})
    (finding,) = judgements["int8"].findings
    assert finding.drop.value == pytest.approx(0.4)
    assert judgements["int8"].kind == "real drop"
    assert judgements["same"].decision == "passes"


def test_a_metric_that_answers_nan_is_broken_for_a_path_and_an_error_for_float32():
    probabilities, classes = classifier(100)

    def only_for_large(outputs, targets):
        return 1.0 if outputs.max() > 0.6 else math.nan

    found = tasks.recognise(probabilities, classes, metric=only_for_large)
    judgements = verdict.judge(found, probabilities, {"int8": probabilities / 2})
    assert judgements["int8"].verdict == "broken: its measure, your metric, is NaN"
    with pytest.raises(InputError, match="float32's"):
        verdict.judge(found, probabilities / 2, {"int8": probabilities})


def test_a_metric_that_needs_every_sample_has_no_interval():
    probabilities, classes = classifier(100)

    def all_different(outputs, targets):
        return 1.0 if len(np.unique(outputs[:, 0])) == 100 else math.nan

    single = np.linspace(0, 1, 100)[:, None] + probabilities[:, :1]
    found = tasks.recognise(single, classes, metric=all_different)
    with pytest.raises(InputError, match="drawn anew"):
        verdict.judge(found, single, {"int8": single + 1})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ({"prob": np.zeros((100, 5)), "b": np.zeros(100)}, "int8 has the outputs prob, b"),
        ({"prob": np.zeros((90, 5))}, r"shape \(90, 5\) and float32's \(100, 5\)"),
        ({"prob": np.zeros((100, 5), np.int8)}, "int8 and float32's float64: give real numbers"),
    ],
)
def test_outputs_that_are_not_alike_are_refused(path, message):
    probabilities, classes = classifier(100)
    found = tasks.recognise({"prob": probabilities}, classes)
    with pytest.raises(InputError, match=message):
        verdict.judge(found, {"prob": probabilities}, {"int8": path})


def test_tasks_of_another_model_are_refused():
    probabilities, classes = classifier(100)
    found = tasks.recognise({"prob": probabilities}, classes)
    with pytest.raises(InputError, match="name output 'prob'; there is logits"):
        verdict.judge(found, {"logits": probabilities}, {})


def test_few_samples_prove_nothing():
    price, output = regression(12)
    found = tasks.recognise(output, price)
    judgement = verdict.judge(found, output, {"int8": output + 1e-3}, max_drop=0.9)["int8"]
    assert (judgement.kind, judgement.decision) == ("too few test samples", "undecided")


def test_the_name_of_the_worst_channel_is_the_measures():
    output = np.random.default_rng(0).normal(size=(50, 3))
    assert verdict.WORST in measures.Likeness(output="x", count=50, reference=output).also(
        output + 0.1, output
    )


def test_a_drop_in_words_and_no_task_are_refused():
    probabilities, classes = classifier()
    found = tasks.recognise(probabilities, classes)
    with pytest.raises(InputError, match="max_drop='1%'; expected a share"):
        verdict.judge(found, probabilities, {"int8": probabilities}, max_drop="1%")
    with pytest.raises(InputError, match="no tasks"):
        verdict.judge((), probabilities, {"int8": probabilities})
