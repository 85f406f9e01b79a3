"""Mixed precision: few blocks in float, found by trying each; and four bits where they do."""

import functools
import math
import time

import distributed
import numpy as np
import pytest

import any_models
import tiny_models
from lessons_lib import (
    by_litert,
    calibration,
    evaluate,
    mixed_precision,
    noise,
    runtime,
    signature,
    tables,
)
from lessons_lib.errors import ConversionError, InputError
from reference import converted, digits

PATH = "int8_float_fallback"


def features(count=100, seed=0):
    sizes = np.float32([1, 1, 3, 10, 30, 100, 1000, 10_000])
    drawn = np.random.default_rng(seed).normal(size=(count, 8))
    return {"features": (sizes + sizes / 4 * drawn).astype(np.float32)}


def vectors(width, count=100, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def uneven():
    return any_models.converted("uneven")


def decibels(source, file, x):
    """How near a file's answers are to the float model's, in dB."""
    expected, found = (runtime.Model(one).predict(x) for one in (source, file))
    return noise.signal_to_noise(expected, found, centred=True)


def never(file):
    return False


@functools.cache
def found_in(folder, workers=1, scheduler=None):
    """The search on the uneven model, until its answers are 20 dB from the float model's."""
    asked = []

    def passes(file):
        asked.append(file.name)
        return decibels(uneven(), file, features(200, seed=1)) > 20

    where = {"workers": workers, "scheduler": scheduler}
    found = mixed_precision.keep_in_float(uneven(), PATH, features(), passes, folder, **where)
    return found, asked


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("search")


def test_the_one_block_that_spoils_all_is_found(folder):
    found, asked = found_in(folder)
    assert found.sqnr_db < 10
    (step,) = found.steps
    assert [block.layer for block in step.blocks] == ["normalization"]
    assert found.found == step
    assert step.file == folder / f"{PATH}_mixed_1.tflite"
    assert asked == [f"{PATH}_mixed_0.tflite", f"{PATH}_mixed_1.tflite"]
    assert found.why == "passes with normalization in float32"
    best, *others = found.ranking
    assert best.block == step.blocks[0]
    assert set(best.block.operators) == {"SUB", "MUL"}
    assert best.gain_db > 15
    assert best.gain_db == best.sqnr_db - found.sqnr_db
    assert len(others) == 3
    assert all(one.gain_db < 3 for one in others)


def test_the_file_is_what_its_rules_give_and_only_that_block_is_in_float(folder):
    step = found_in(folder)[0].found
    alone = by_litert.quantize(uneven(), PATH, features(), rules=step.rules)
    assert step.file.read_bytes() == alone
    table = tables.operators(step.file)
    in_float = table[table["float"] & ~table["operator"].isin(["QUANTIZE", "DEQUANTIZE"])]
    assert set(in_float["layer"]) == {"normalization"}


def test_the_numbers_are_those_of_the_files(folder):
    found = found_in(folder)[0]
    base = folder / f"{PATH}_mixed_0.tflite"
    assert base.read_bytes() == by_litert.quantize(uneven(), PATH, features())
    # All hundred samples of the calibration are the ranking's, for there are no more.
    assert found.sqnr_db == pytest.approx(decibels(uneven(), base, features()), abs=1e-6)
    step = found.found
    assert step.sqnr_db == pytest.approx(decibels(uneven(), step.file, features()), abs=1e-6)


@pytest.mark.parametrize("where", ["two workers", "cluster"])
def test_two_workers_and_a_cluster_find_the_same(where, folder, tmp_path):
    alone = found_in(folder)[0]
    if where == "two workers":
        found = found_in(tmp_path, workers=2)[0]
    else:
        options = {"n_workers": 2, "host": "127.0.0.1", "dashboard_address": ":0"}
        with distributed.LocalCluster(**options) as cluster:
            found = found_in(tmp_path, scheduler=cluster.scheduler_address)[0]
    assert found.ranking == alone.ranking
    assert found.why == alone.why
    assert found.found.rules == alone.found.rules
    assert found.found.file.read_bytes() == alone.found.file.read_bytes()


def test_a_second_search_tries_nothing_again(folder, tmp_path):
    found_in(folder)
    before = {file: file.stat().st_mtime_ns for file in (folder / "jobs").iterdir()}
    again = mixed_precision.keep_in_float(uneven(), PATH, features(), never, folder)
    assert again.ranking == found_in(folder)[0].ranking
    after = {file: file.stat().st_mtime_ns for file in (folder / "jobs").iterdir()}
    assert after.items() >= before.items()


def test_each_try_is_told(tmp_path):
    told = []
    mixed_precision.keep_in_float(
        uneven(), PATH, features(), never, tmp_path, on_done=lambda *one: told.append(one)
    )
    assert told[0] == (f"calibration: {PATH}", 1, 1)
    assert [one[1:] for one in told[1:5]] == [(n, 4) for n in (1, 2, 3, 4)]
    assert all(one[0].startswith("ranking: ") for one in told[1:5])
    assert told[5] == ("trying: normalization", 1, 1)


def test_a_path_that_passes_is_left_as_it_is(tmp_path):
    found = mixed_precision.keep_in_float(uneven(), PATH, features(), lambda file: True, tmp_path)
    assert (found.steps, found.ranking, found.found) == ((), (), None)
    assert found.why == f"the path {PATH} passes as it is"


def test_a_loss_that_is_spread_is_said_so(tmp_path):
    content = any_models.converted("spread")
    found = mixed_precision.keep_in_float(content, PATH, vectors(16), never, tmp_path)
    assert len(found.ranking) == 12
    assert found.ranking[0].gain_db < mixed_precision.GAIN_DB
    assert found.steps == ()
    assert "The loss is spread over the model" in found.why
    assert found.ranking[0].block.layer in found.why


def test_blocks_that_a_louder_one_hides_are_found_in_the_next_round(tmp_path):
    """Beside the normalization no layer gains anything; without it one does."""
    found = mixed_precision.keep_in_float(uneven(), PATH, features(), never, tmp_path)
    first = {one.block.layer: one.gain_db for one in found.ranking}
    assert sorted(first.values())[-2] < mixed_precision.GAIN_DB
    assert [block.layer for block in found.steps[0].blocks] == ["normalization"]
    assert "25%" in found.why  # the next would be a third of this small model's five operators
    assert found.found is None


def test_a_quarter_of_the_operators_is_the_most(tmp_path):
    content = converted()["float32"]
    samples = calibration.representative_dataset(digits().calibration)
    found = mixed_precision.keep_in_float(content, PATH, samples, never, tmp_path)
    table = by_litert.plan(content, PATH)
    quantized = (table["recipe"] == "int8").sum()
    counts = [sum(len(b.outputs) for b in step.blocks) for step in found.steps]
    assert all(count == 1 or count <= quantized / 4 for count in counts)
    assert f"of the {quantized} quantized operators" in found.why
    assert "more than 25%" in found.why


def test_the_budget_is_kept_and_the_next_search_goes_on(tmp_path):
    start = time.monotonic()
    none = mixed_precision.keep_in_float(uneven(), PATH, features(), never, tmp_path, budget=0.0)
    assert time.monotonic() - start < 20
    assert none.steps == ()
    assert none.why == (
        "the budget of 0 s is used up, and no block gained 0.5 dB "
        "(0 of 4 blocks were ranked within the budget)"
    )
    more = mixed_precision.keep_in_float(uneven(), PATH, features(), never, tmp_path)
    assert len(more.ranking) == 4


def test_finer_integers_may_take_the_place_of_floats(tmp_path):
    options = {"recipe": "int16x8"}
    found = mixed_precision.keep_in_float(uneven(), PATH, features(), never, tmp_path, **options)
    step = found.steps[0]
    assert [block.layer for block in step.blocks] == ["normalization"]
    assert step.sqnr_db > found.sqnr_db + 5
    table = tables.operators(step.file)
    assert "INT16" in " ".join(table.loc[table["layer"] == "normalization", "dtypes"])
    alone = by_litert.quantize(uneven(), PATH, features(), rules=step.rules)
    assert step.file.read_bytes() == alone


def test_several_inputs_outputs_and_tokens(tmp_path):
    for name in ("two_ends", "tokens"):
        content = any_models.converted(name)
        ends = signature.of_file(content)
        x = any_models.samples.drawn(ends, 60)
        found = mixed_precision.keep_in_float(content, PATH, x, never, tmp_path / name)
        assert math.isfinite(found.sqnr_db)
        assert len(found.ranking) >= 2
        assert not any(one.failure for one in found.ranking)


def test_blocks_are_layers_in_order_and_a_layer_that_is_a_model_falls_into_operators(tmp_path):
    search = mixed_precision._Search(uneven(), PATH, features(), tmp_path)
    everything = search.plan["recipe"] == "int8"
    blocks = search.blocks(everything)
    assert [block.layer for block in blocks] == ["normalization", "dense", "dense_1", "dense_2"]
    names = [name for block in blocks for name in block.outputs]
    assert names == list(search.plan.loc[everything, "outputs"])
    for block in blocks:
        plan = by_litert.plan(uneven(), PATH, [block.rule("float32")])
        assert set(plan.loc[plan["recipe"] == "float32", "outputs"]) == set(block.outputs)


def test_the_samples_that_change_most_judge(tmp_path):
    """Of 150 samples, 100 lie where the ranges of the calibration end: those are chosen."""
    inside, outside = vectors(8, 50), 30 * vectors(8, 100, seed=1)
    content = any_models.converted("regression")
    found = {}
    for name, pool in (("mixed", np.concatenate([inside, outside])), ("outside", outside)):
        found[name] = mixed_precision.keep_in_float(
            content, PATH, inside, lambda file: True, tmp_path / name, ranking=pool
        )
    assert found["mixed"].sqnr_db == pytest.approx(found["outside"].sqnr_db, abs=1e-9)


def test_wrong_use_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match="promises integers only, but a rule gives float32"):
        mixed_precision.keep_in_float(uneven(), "int8", features(), never, tmp_path)
    with pytest.raises(ConversionError, match="needs a representative_dataset"):
        mixed_precision.keep_in_float(uneven(), PATH, None, never, tmp_path)
    with pytest.raises(InputError, match="give some as ranking="):
        mixed_precision.to_four_bits(uneven(), "dynamic_range", None, never, tmp_path)
    with pytest.raises(InputError, match="'float16'; four bits go with int8, uint8"):
        mixed_precision.to_four_bits(uneven(), "float16", None, never, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_float_model_that_answers_the_same_is_said_so(tmp_path):
    content = tiny_models.convert(tiny_models.depthwise_with_elu(), "float32")
    same = np.full((20, 8, 8, 4), 0.5, np.float32)
    same[1] += 1e-6  # or the guard of a calibration would be the first to say so
    with pytest.raises(InputError, match="answers the same for every sample"):
        mixed_precision.keep_in_float(content, PATH, same, never, tmp_path)


# ---- four bits


def mnist():
    return converted()["float32"], digits().calibration.images[:100]


def agreement(file):
    images = digits().test.images[:300]
    return evaluate.agreement(
        runtime.Model(file).classes(images), runtime.Model(mnist()[0]).classes(images)
    ).value


@pytest.mark.parametrize("path", ["int8", "dynamic_range", "weight_only_int8"])
def test_every_block_with_weights_gets_four_bits_as_long_as_it_passes(path, tmp_path):
    content, samples = mnist()
    options = {"ranking": samples[:40]}
    given = samples if path == "int8" else None
    found = mixed_precision.to_four_bits(
        content, path, given, lambda file: True, tmp_path, **options
    )
    layers = {one.block.layer for one in found.ranking}
    assert found.why == f"all {len(layers)} blocks with weights have four bits"
    sizes = [step.file.stat().st_size for step in found.steps]
    assert sizes == sorted(sizes, reverse=True)
    assert found.found == found.steps[-1]
    table = tables.tensors(found.found.file)
    assert set(table.loc[table["role"] == "weight", "dtype"]) == {"INT4"}
    rules = found.found.rules
    assert found.found.file.read_bytes() == by_litert.quantize(content, path, given, rules=rules)
    losses = [one.gain_db for one in found.ranking]
    assert losses == sorted(losses, reverse=True)


def test_the_last_file_that_passes_is_taken(tmp_path):
    content, samples = mnist()
    asked = []

    def passes(file):
        asked.append(file)
        return len(asked) < 4  # the path itself, one block, two blocks

    found = mixed_precision.to_four_bits(content, PATH, samples, passes, tmp_path)
    assert [step.passed for step in found.steps] == [True, True, False]
    assert found.found == found.steps[1]
    last = found.steps[2].blocks[-1].layer
    assert found.why == f"with four bits for {last} as well it does not pass"
    assert agreement(found.found.file) > 0.9


def test_where_eight_bits_fail_four_are_not_tried(tmp_path):
    content, samples = mnist()
    found = mixed_precision.to_four_bits(content, PATH, samples, never, tmp_path)
    assert (found.steps, found.found) == ((), None)
    assert found.why == f"the path {PATH} itself, with eight bits, fails"
