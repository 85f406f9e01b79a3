"""tasks and measures: what is recognised, what is measured, against formulas written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from lessons_lib import measures, tasks
from lessons_lib.errors import InputError

RANDOM = np.random.default_rng(0)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def only(*arguments, **options):
    (task,) = tasks.recognise(*arguments, **options)
    return task


PROBABILITIES = softmax(RANDOM.normal(size=(60, 5)))
CLASSES = RANDOM.integers(0, 5, 60)
SIGMOID = RANDOM.random((60, 1))
YES_NO = RANDOM.integers(0, 2, 60)
NUMBERS = RANDOM.normal(size=(60, 1))
PIXELS = softmax(RANDOM.normal(size=(60, 6, 4, 3)))
MASKS = RANDOM.integers(0, 3, (60, 6, 4))
VECTORS = RANDOM.normal(size=(60, 8))


@pytest.mark.parametrize(
    ("output", "targets", "name", "measure"),
    [
        (PROBABILITIES, CLASSES, "classification", "accuracy"),
        (PROBABILITIES, CLASSES[:, None], "classification", "accuracy"),  # as Keras loads CIFAR
        (PROBABILITIES, CLASSES.astype(np.float32), "classification", "accuracy"),
        (np.log(PROBABILITIES), CLASSES, "classification", "accuracy"),
        (PROBABILITIES, np.eye(5)[CLASSES], "classification", "accuracy"),
        (PROBABILITIES[:, :2], YES_NO, "classification", "accuracy"),
        (CLASSES, CLASSES, "classification", "accuracy"),  # the argmax is inside the model
        (SIGMOID, YES_NO, "binary", "accuracy"),
        (SIGMOID[:, 0], YES_NO.astype(bool), "binary", "accuracy"),
        (SIGMOID, YES_NO[:, None].astype(np.float32), "binary", "accuracy"),
        (NUMBERS, YES_NO, "binary", "accuracy"),
        (VECTORS, VECTORS > 0, "multilabel", "accuracy of the labels"),
        (PIXELS, MASKS, "segmentation", "mean IoU"),
        (PIXELS, np.eye(3)[MASKS], "segmentation", "mean IoU"),
        (PIXELS, MASKS[..., None], "segmentation", "mean IoU"),
        (PIXELS[..., :1], MASKS > 0, "segmentation", "IoU"),
        (PIXELS[..., :1], (MASKS > 0)[..., None].astype(np.float32), "segmentation", "IoU"),
        (PIXELS[:, 0], MASKS[:, 0], "tagging", "accuracy of the positions"),
        (NUMBERS, NUMBERS[:, 0], "regression", "MAE"),
        (NUMBERS, RANDOM.integers(18, 80, 60), "regression", "MAE"),
        (PIXELS[..., :1], PIXELS[..., 0], "regression", "MAE"),
        (VECTORS, VECTORS, "regression", "MAE in deviations of the targets"),
        (VECTORS, None, "no targets", "centred SQNR in dB"),
        (CLASSES, None, "no targets", "agreement with float32"),
    ],
)
def test_the_task_is_seen_from_shapes_and_numbers(output, targets, name, measure):
    task = only(output, targets)
    assert (task.name, task.measure, task.count) == (name, measure, 60)
    assert np.isfinite(task.value(output)) or not task.labelled


def test_an_output_that_rebuilds_its_input_is_an_autoencoders():
    x = RANDOM.normal(size=(60, 8))
    rebuilt = x + RANDOM.normal(0, 0.3, x.shape)
    task = only(rebuilt, inputs={"frames": x})
    assert task.name == "autoencoder"
    assert task.value(rebuilt) == pytest.approx(np.mean((rebuilt - x) ** 2))
    strange = only(rebuilt, YES_NO, inputs={"frames": x})
    assert strange.measure == "AUC of the rebuilding error"
    # An output of the input's shape that has nothing to do with it, and two classes of two inputs.
    assert only(VECTORS, inputs={"frames": x}).name == "no targets"
    points = RANDOM.random((60, 2))
    assert only(PROBABILITIES[:, :2], YES_NO, inputs=points).name == "classification"


@pytest.mark.parametrize(
    ("output", "targets", "task", "name"),
    [
        (VECTORS, CLASSES, "embedding", "embedding"),
        (VECTORS, None, "embedding", "embedding"),
        (VECTORS, VECTORS, "autoencoder", "autoencoder"),
        (NUMBERS, YES_NO, "regression", "regression"),
        (PROBABILITIES, np.eye(5)[CLASSES], "multilabel", "multilabel"),
        (PROBABILITIES, CLASSES, "no targets", "no targets"),
        (PIXELS[:, 0], MASKS[:, 0], "segmentation", "segmentation"),
        (PIXELS[..., 0], MASKS > 0, "segmentation", "segmentation"),
    ],
)
def test_the_owners_word_stands_above_what_is_seen(output, targets, task, name):
    assert only(output, targets, task=task).name == name


def test_each_output_is_its_own_task():
    outputs = {"label": PROBABILITIES, "box": VECTORS[:, :4], "note": VECTORS}
    given = {"label": CLASSES, "box": VECTORS[:, 1:5]}
    found = tasks.recognise(outputs, given)
    assert [task.name for task in found] == ["classification", "regression", "no targets"]
    assert [task.output for task in found] == ["label", "box", "note"]
    by_shape = tasks.recognise(outputs, [VECTORS, None, CLASSES])
    assert [task.name for task in by_shape] == ["classification", "no targets", "regression"]
    by_fit = tasks.recognise(outputs, CLASSES, task={"note": "no targets"})
    assert [task.name for task in by_fit] == ["classification", "no targets", "no targets"]
    with pytest.raises(InputError, match="give them by name"):
        tasks.recognise({"a": PROBABILITIES, "b": PROBABILITIES}, CLASSES)


@pytest.mark.parametrize(
    ("output", "targets", "options", "message"),
    [
        (PIXELS[:, 0], CLASSES, {}, r"class numbers \(60, 4\), 0 to 2 \(tagging\)"),
        (PROBABILITIES, CLASSES + 2, {}, r"class [56] .*classes are 0 to 4: leave out the samples"),
        (PROBABILITIES, CLASSES[:50], {}, r"60 samples and its targets have the shape \(50,\)"),
        (PROBABILITIES, CLASSES.astype(str), {}, "give the class names numbers"),
        (PROBABILITIES, RANDOM.random(60), {}, r"class numbers \(60,\), 0 to 4"),
        (NUMBERS, YES_NO, {"task": "classification"}, "threshold.*binary, regression"),
        (NUMBERS[:, 0], YES_NO, {"task": "classification"}, r"one sigmoid.*outputs > 0.5"),
        (PIXELS[:, 0], CLASSES, {"task": "classification"}, "argmax"),
        (VECTORS, CLASSES, {"task": "binary"}, "do not fit as binary"),
        (VECTORS, CLASSES, {"task": "regression"}, "do not fit as regression"),
        (VECTORS, None, {"task": "regression"}, "and no targets do not fit as regression"),
        (VECTORS, YES_NO, {"task": "autoencoder"}, "inputs="),
        (VECTORS, None, {"task": "detection"}, "expected one of classification, binary"),
        (VECTORS, None, {"task": {"logits": "regression"}}, "output 'logits'; there is 'output'"),
        (VECTORS, {"logits": CLASSES}, {}, "output 'logits'; there is 'output'"),
        (VECTORS[:1], None, {}, "at least 2"),
        ({"a": VECTORS, "b": VECTORS[:9]}, None, {}, "different numbers of samples"),
        ([VECTORS, NUMBERS], None, {}, "by name"),
        (np.array(["a", "b"]), None, {}, "array of numbers"),
        (NUMBERS, np.where(YES_NO, np.nan, 1.0), {}, "target of output 'output' is broken"),
        (PIXELS[..., :1], np.zeros_like(MASKS), {}, "no foreground"),
    ],
)
def test_what_fits_nothing_is_refused_with_what_would_fit(output, targets, options, message):
    with pytest.raises(InputError, match=message):
        tasks.recognise(output, targets, **options)


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_a_broken_float_model_is_no_class_0(strange):
    broken = PROBABILITIES.copy()
    broken[[7, 9], 2] = strange
    with pytest.raises(InputError, match=r"2 of 60 samples hold NaN or inf \(sample 7"):
        tasks.recognise(broken, CLASSES)


def test_accuracy_and_the_guess_are_counted():
    task = only(PROBABILITIES, CLASSES)
    found = PROBABILITIES.argmax(axis=1)
    assert task.value(PROBABILITIES) == pytest.approx(np.mean(found == CLASSES))
    assert task.guess() == np.bincount(CLASSES).max() / 60
    recalls = [np.mean(found[c == CLASSES] == c) for c in range(5)]
    assert task.also(PROBABILITIES, PROBABILITIES)["worst recall"] == min(recalls)


def test_one_sigmoid_is_judged_at_its_threshold():
    """Class 0 for everything, "48.5 %", is what argmax over one column makes of a right model."""
    x = np.random.default_rng(0).random((200, 64), dtype=np.float32).mean(axis=1)
    labels = (x > 0.5).astype(int)
    output = 1 / (1 + np.exp(-(100 * x - 50)))[:, None]
    assert only(output, labels).value(output) == 1
    assert np.mean(output.argmax(axis=1) == labels) == pytest.approx(0.485, abs=0.04)
    logits = np.log(output / (1 - output))
    assert only(logits, labels).threshold == 0
    assert only(logits, labels).value(logits) == 1
    assert only(output, labels, threshold=0.9).value(output) < 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40))
def test_the_area_under_the_curve_is_mann_whitneys(pairs):
    scores, truth = (np.array(side) for side in zip(*pairs, strict=True))
    if truth.all() or not truth.any():
        assert np.isnan(measures.area_under_curve(scores, truth))
        return
    u = stats.mannwhitneyu(scores[truth], scores[~truth]).statistic
    expected = u / (truth.sum() * (~truth).sum())
    assert measures.area_under_curve(scores, truth) == pytest.approx(expected)
    counts = np.random.default_rng(0).integers(0, 3, (4, len(truth)))
    drawn = [np.repeat(np.arange(len(truth)), row) for row in counts]
    each = [measures.area_under_curve(scores[rows], truth[rows]) for rows in drawn if len(rows)]
    whole = measures.area_under_curve(scores, truth, counts[[len(rows) > 0 for rows in drawn]])
    assert whole == pytest.approx(np.array(each), nan_ok=True)


def iou_by_hand(found, truth, classes):
    shares = [
        ((found == c) & (truth == c)).sum() / ((found == c) | (truth == c)).sum()
        for c in classes
        if ((found == c) | (truth == c)).any()
    ]
    return np.mean(shares)


def test_masks_of_several_classes_are_judged_by_the_mean_iou():
    found = PIXELS.argmax(axis=-1)
    assert only(PIXELS, MASKS).value(PIXELS) == pytest.approx(iou_by_hand(found, MASKS, range(3)))
    # A class that nobody drew and nobody found does not count.
    wide = np.concatenate([PIXELS, np.zeros_like(PIXELS[..., :1])], axis=-1)
    assert only(wide, MASKS).value(wide) == pytest.approx(iou_by_hand(found, MASKS, range(3)))
    argmax_inside = only(found, MASKS)
    assert argmax_inside.value(found) == pytest.approx(iou_by_hand(found, MASKS, range(3)))


def test_a_mask_of_one_sigmoid_is_judged_by_the_iou_of_its_foreground():
    output, truth = PIXELS[..., :1], MASKS == 1
    found = output[..., 0] > 0.5
    expected = (found & truth).sum() / (found | truth).sum()
    assert only(output, truth).value(output) == pytest.approx(expected)
    assert only(output, truth).guess() == pytest.approx(truth.mean())
    assert only(output, truth).also(output, output)["pixels right"] == np.mean(found == truth)


def test_pixels_to_ignore_do_not_count():
    void = MASKS.copy()
    void[:, 0] = 255
    task = only(PIXELS, void, ignore=255)
    expected = iou_by_hand(PIXELS[:, 1:].argmax(axis=-1), MASKS[:, 1:], range(3))
    assert task.value(PIXELS) == pytest.approx(expected)
    tags = only(PIXELS[:, :, 0], void[:, :, 0], ignore=255)
    found = PIXELS[:, 1:, 0].argmax(axis=-1)
    assert tags.value(PIXELS[:, :, 0]) == pytest.approx(np.mean(found == MASKS[:, 1:, 0]))


def test_a_quantity_is_judged_in_its_unit():
    price = 190_000 + 60_000 * RANDOM.normal(size=60)
    output = (price + RANDOM.normal(0, 5000, 60))[:, None].astype(np.float32)
    task = only(output, price)
    errors = output[:, 0].astype(np.float64) - price
    assert (task.lower_is_better, task.share) == (True, False)
    assert task.value(output) == pytest.approx(np.abs(errors).mean())
    figures = task.also(output, output + 60)
    assert figures["R²"] == pytest.approx(1 - (errors**2).mean() / price.var())
    assert figures["largest error"] == pytest.approx(np.abs(errors).max())
    distance = figures["distance from float32 / deviation"]
    assert distance == pytest.approx(60 / price.std(), rel=1e-3)
    assert task.guess() == pytest.approx(np.abs(price - np.median(price)).mean())


def test_a_large_unit_does_not_hide_a_small_one():
    """Pressure in pascal beside a share of humidity: the second column is lost, the first not."""
    targets = np.stack([101_325 + RANDOM.normal(0, 500, 60), RANDOM.random(60)], axis=1)
    output = targets + RANDOM.normal(0, 1, (60, 2)) * [20, 0.02]
    lost = output.copy()
    lost[:, 1] = 0
    task = only(output, targets)
    assert np.abs(lost - targets).mean() < 1.05 * np.abs(output - targets).mean() + 0.3
    assert task.value(lost) > 10 * task.value(output)
    assert (
        task.also(lost, output)["worst R² of a column"] < 0 < 0.99 < task.also(output, output)["R²"]
    )


def test_strange_samples_are_told_by_the_error_of_an_autoencoder():
    x = RANDOM.normal(size=(60, 8))
    rebuilt = x + RANDOM.normal(0, 0.1, x.shape) * (1 + YES_NO)[:, None]
    task = only(rebuilt, YES_NO, inputs=x)
    error = ((rebuilt - x) ** 2).mean(axis=1)
    u = stats.mannwhitneyu(error[YES_NO == 1], error[YES_NO == 0]).statistic
    assert task.value(rebuilt) == pytest.approx(u / (YES_NO.sum() * (1 - YES_NO).sum()))
    # Without a strange one there is no such area, and the error itself is what decides.
    assert only(rebuilt, np.zeros(60), inputs=x).measure == "MSE of the rebuilt input"


def test_the_nearest_neighbour_decides_an_embedding():
    centres = RANDOM.normal(size=(5, 8))
    vectors = centres[CLASSES] + RANDOM.normal(0, 0.3, (60, 8))
    similar = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    np.fill_diagonal(similar, -2)
    expected = np.mean(CLASSES[similar.argmax(axis=1)] == CLASSES)
    assert only(vectors, CLASSES, task="embedding").value(vectors) == expected > 0.8
    alone = only(vectors, task="embedding")
    noisy = vectors + RANDOM.normal(0, 0.1, vectors.shape)
    cosines = [1 - distance.cosine(*pair) for pair in zip(vectors, noisy, strict=True)]
    assert alone.value(noisy) == pytest.approx(np.mean(cosines))


def test_an_offset_does_not_flatter_the_likeness():
    """A regression with an offset: uncentred the broken file has 12 dB, centred about 2."""
    price = (190_000 + 60_000 * RANDOM.normal(size=(60, 1))).astype(np.float32)
    broken = np.clip(price, None, 190_000)
    noise = ((broken - price.astype(np.float64)) ** 2).sum()
    uncentred = 10 * np.log10((price.astype(np.float64) ** 2).sum() / noise)
    centred = 10 * np.log10(60 * price.astype(np.float64).var() / noise)
    assert only(price).value(broken) == pytest.approx(centred)
    assert uncentred - centred > 9


def test_a_channel_of_a_small_unit_is_looked_at_alone():
    """Boxes in pixels and scores from 0 to 1 in one output: the scores keep two values."""
    boxes, scores = RANDOM.uniform(0, 300, (60, 16, 4)), RANDOM.random((60, 16, 3))
    output = np.concatenate([boxes, scores], axis=-1).astype(np.float32)
    rounded = 1.2 * np.rint(output / 1.2)
    task = only(output)
    figures = task.also(rounded, output)
    assert task.value(rounded) > 45
    assert figures["worst channel"] >= 4
    assert figures["worst channel in dB"] < 3
    channel = int(figures["worst channel"])
    signal = output[..., channel] - output[..., channel].mean(axis=0)
    noise = rounded[..., channel] - output[..., channel]
    expected = 10 * np.log10((signal**2).sum() / (noise**2).sum())
    assert figures["worst channel in dB"] == pytest.approx(expected, rel=1e-4)


def test_ones_own_metric_gets_arrays_and_may_answer_for_each_sample():
    def per_sample(outputs, targets):
        return np.abs(outputs[:, 0] - targets)

    def one_number(outputs, targets):
        return np.sqrt(np.mean((outputs["a"][:, 0] - targets["y"]) ** 2))

    target = RANDOM.normal(size=60)
    own = only(NUMBERS, target, metric=per_sample, lower_is_better=True)
    assert own.value(NUMBERS) == pytest.approx(np.abs(NUMBERS[:, 0] - target).mean())
    assert own.lower_is_better
    both = {"a": NUMBERS, "b": VECTORS}
    own = only(both, {"y": target}, metric=one_number)
    assert own.value(own.pick(both)) == pytest.approx(
        np.sqrt(np.mean((NUMBERS[:, 0] - target) ** 2))
    )
    counts = np.random.default_rng(0).multinomial(60, [1 / 60] * 60, 3)
    rows = [np.repeat(np.arange(60), row) for row in counts]
    expected = [np.sqrt(np.mean((NUMBERS[r, 0] - target[r]) ** 2)) for r in rows]
    assert own.measurer(both)(counts) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda outputs, targets: outputs["x"], "your metric raised IndexError"),
        (lambda outputs, targets: outputs, r"returned an array of shape \(60, 1\)"),
        (lambda outputs: 1.0, "your metric raised TypeError"),
    ],
)
def test_a_metric_that_fails_is_named(metric, message):
    with pytest.raises(InputError, match=message):
        only(NUMBERS, None, metric=metric).value(NUMBERS)


def test_targets_of_a_metric_may_be_ragged():
    boxes = [np.zeros((k % 3, 4)) for k in range(60)]
    own = only(VECTORS, boxes, metric=lambda o, t: np.array([len(part) for part in t]))
    assert own.value(VECTORS) == 1


@pytest.mark.parametrize(
    "output",
    [PROBABILITIES, SIGMOID, PIXELS, PIXELS[..., :1], PIXELS[:, 0], NUMBERS, VECTORS],
    ids=lambda array: str(array.shape),
)
def test_a_measure_of_resamples_is_the_measure_of_the_samples_drawn(output):
    """What the bootstrap relies on: counting a sample twice is having it twice."""
    for targets in fitting(output):
        whole = only(output, targets)
        counts = np.random.default_rng(1).multinomial(60, [1 / 60] * 60, 3)
        found = whole.measurer(output + 0)(counts)
        for row, value in zip(counts, found, strict=True):
            rows = np.repeat(np.arange(60), row)
            drawn = only(output[rows], targets[rows], task=whole.name)
            if "deviations" not in whole.measure:  # those are of all the targets
                assert value == pytest.approx(drawn.value(output[rows]))


def fitting(output):
    if output.ndim > 1 and output.shape[-1] > 1:
        yield RANDOM.integers(0, output.shape[-1], output.shape[:-1])
    yield RANDOM.integers(0, 2, output.shape)
    yield RANDOM.normal(size=output.shape)


RAMP = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
YES = (RAMP[:, 0] > 0.6).astype(int)


@pytest.mark.parametrize("targets", [2 * YES - 1, YES + 1, 255 * YES])
def test_yes_and_no_in_another_writing_is_no_quantity(targets):
    with pytest.raises(InputError, match=r"for yes or no give zeros and ones, \(targets == "):
        tasks.recognise(RAMP, targets)
    (named,) = tasks.recognise(RAMP, targets, task="regression")
    assert named.name == "regression"
    (binary,) = tasks.recognise(RAMP, (targets == targets.max()).astype(int))
    assert binary.name == "binary"


def test_a_mask_of_0_and_255_is_no_quantity():
    mask = np.zeros((4, 8, 8, 1))
    mask[:, 2:5] = 255
    output = np.clip(mask / 255, 0.1, 0.9).astype(np.float32)
    with pytest.raises(InputError, match="are 0 and 255, and its numbers are from 0 to 1"):
        tasks.recognise(output, mask)


def test_classes_that_count_from_1_are_told_so():
    output = softmax(np.random.default_rng(0).normal(size=(40, 5)))
    targets = np.arange(40) % 5 + 1
    for ignore in (None, 5):
        with pytest.raises(InputError, match="they count from 1, give targets - 1"):
            tasks.recognise(output, targets, ignore=ignore)


def test_masks_of_0_and_255_for_two_classes_are_not_to_be_ignored():
    output = softmax(np.random.default_rng(0).normal(size=(4, 8, 8, 2)))
    mask = 255 * np.random.default_rng(1).integers(0, 2, (4, 8, 8))
    with pytest.raises(InputError, match=r"zeros and ones, \(targets == 255\)"):
        tasks.recognise(output, mask)


def test_a_sample_without_a_class_is_left_out_by_its_owner():
    marked = CLASSES.copy()
    marked[3] = -1
    with pytest.raises(InputError, match=r"class -1 \(sample 3\).*leave out the samples"):
        tasks.recognise(PROBABILITIES, marked, ignore=-1)


@pytest.mark.parametrize("order", [range(12), [3, *range(3), *range(4, 12)]])
def test_a_list_of_targets_is_refused_where_outputs_could_be_swapped(order):
    """TensorFlow Lite sorts names: the third output is output_10."""
    outputs = {f"output_{n}": RANDOM.normal(size=(60, 1)) for n in order}
    with pytest.raises(InputError, match=r"sorts by name.*Give them by name, \{'output_"):
        tasks.recognise(outputs, list(outputs.values()))


def test_a_list_of_targets_goes_where_alone_it_fits_whatever_the_order():
    outputs = {"height": NUMBERS, "kind": PROBABILITIES, "mask": PIXELS}
    found = tasks.recognise(outputs, [MASKS, CLASSES, NUMBERS])
    assert [task.name for task in found] == ["regression", "classification", "segmentation"]
    # Classes fit 5 columns and 8: which of two lists is whose is seen from the class 7 alone.
    outputs = {"a": PROBABILITIES, "b": softmax(VECTORS)}
    wide = np.arange(60) % 8
    assert np.array_equal(tasks.recognise(outputs, [wide, CLASSES])[1].targets, wide)
    with pytest.raises(InputError, match="Give them by name"):
        tasks.recognise(outputs, [CLASSES, CLASSES])
    with pytest.raises(InputError, match="Give them by name"):
        tasks.recognise(outputs, [wide, MASKS])


def test_nothing_left_and_no_threshold_are_refused():
    output = softmax(np.random.default_rng(0).normal(size=(4, 8, 8, 3)))
    with pytest.raises(InputError, match="all 255, which ignore= leaves out"):
        tasks.recognise(output, np.full((4, 8, 8), 255), ignore=255)
    for threshold in (np.nan, 7, -2, "0.5"):
        with pytest.raises(InputError, match=f"threshold={threshold!r}; .* from 0 to 1"):
            tasks.recognise(RAMP, YES, threshold=threshold)
        with pytest.raises(InputError, match=f"threshold={threshold!r}"):
            tasks.recognise(PIXELS[..., :1], MASKS > 0, threshold=threshold)
