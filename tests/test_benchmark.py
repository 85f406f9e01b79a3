import numpy as np
import pytest

import any_models
from lessons_lib import benchmark, by_tensorflow, samples, sandbox
from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.run.runtime import Model
from reference import converted, digits


class Counted(Model):
    """A model that writes down each time it is run, and on how many images."""

    def __init__(self, name, diary):
        super().__init__(converted()[name])
        self.name, self.diary = name, diary

    def invoker(self, image):
        invoke = super().invoker(image)

        def counted():
            self.diary.append((self.name, len(image)))
            invoke()

        return counted


def test_latency_warms_up_and_then_takes_turns_on_one_image():
    diary = []
    models = {name: Counted(name, diary) for name in ("float32", "int8")}
    benchmark.latency(models, digits().test.images, rounds=3, warmup=2)
    one, other = ("float32", 1), ("int8", 1)
    assert diary == [one] * 2 + [other] * 2 + [one, other] * 3


def test_latency_gives_ordered_positive_microseconds_for_each_model():
    models = {name: Model(converted()[name]) for name in ("float32", "int16x8")}
    table = benchmark.latency(models, digits().test.images, rounds=30)
    assert list(table.index) == ["float32", "int16x8"]
    assert list(table.columns) == ["median_us", "p25_us", "p75_us", "best_us", "batch"]
    assert (table["batch"] == 1).all()
    ordered = table[["best_us", "p25_us", "median_us", "p75_us"]].to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all()
    assert (ordered > 0).all()


class Stopped(Model):
    """A model whose clock is its own: a call takes as many ticks as it runs images."""

    ticks = 0

    def invoker(self, image):
        invoke = super().invoker(image)

        def counted():
            invoke()
            (batch,) = self._last_set.values()
            Stopped.ticks += len(batch)

        return counted


def test_a_fixed_batch_is_timed_as_a_batch_and_told_for_one_image(tmp_path, monkeypatch):
    folder = sandbox.call(
        "lessons_lib.models.training:save_untrained",
        "one_layer",
        tmp_path / "model",
        0,
        8,
        imported="tensorflow",
    )
    fixed = by_tensorflow.convert(folder, "float32")
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: Stopped.ticks * 1e-6)
    models = {"open": Stopped(converted()["float32"]), "fixed": Stopped(fixed)}
    table = benchmark.latency(models, digits().test.images, rounds=3)
    assert list(table["batch"]) == [1, 8]
    assert table["median_us"].tolist() == pytest.approx([1, 1])


def test_the_invoker_runs_its_image_whatever_the_model_ran_meanwhile():
    model, images = Model(converted()["int8"]), digits().test.images
    output = model.run(model.quantize_input(images[:1]))
    invoke = model.invoker(images[:1])
    model.predict(images[1:9])
    invoke()
    output_index = model.signature.only_output.index
    assert np.array_equal(model._tensor(output_index), output)
    other = model.invoker(images[5:6])
    invoke()
    assert np.array_equal(model._tensor(output_index), output)
    other()
    assert not np.array_equal(model._tensor(output_index), output)


def test_the_first_sample_of_several_inputs_is_timed_however_they_come():
    models = {"two": Model(any_models.converted("two_ends"))}
    x = samples.drawn(models["two"].signature, 3)
    for given in (x, tuple(x.values()), {name: array[:1] for name, array in x.items()}):
        assert benchmark.latency(models, given, rounds=1, warmup=0)["median_us"].iloc[0] > 0


def test_an_invoker_takes_one_image():
    with pytest.raises(InputError, match=r"expected one sample, .* got 2"):
        Model(converted()["int8"]).invoker(digits().test.images[:2])


def test_a_bigger_batch_needs_more_memory():
    small, large = (benchmark.peak_memory(converted()["float32"], batch) for batch in (1, 500))
    # One image's largest activation is conv1's 26 x 26 x 16 floats.
    assert large - small > 0.5 * 499 * 26 * 26 * 16 * 4
    assert small < 100e6


def test_a_damaged_model_is_refused_before_it_is_measured():
    with pytest.raises(ModelFileError):
        benchmark.peak_memory(converted()["float32"][:1000])


def test_a_file_is_no_model_yet():
    with pytest.raises(InputError, match=r"'a' is a str; expected runtime\.Model"):
        benchmark.latency({"a": "file.tflite"}, digits().test.images)


def test_nothing_to_time_is_refused():
    with pytest.raises(InputError):
        benchmark.latency({}, digits().test.images)
    with pytest.raises(InputError):
        benchmark.latency({"m": Model(converted()["float32"])}, digits().test.images, rounds=0)
