"""The page ``try-it/`` in a real browser: its answers, its drawing, its errors, its numbers."""

import base64
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from playwright.sync_api import Browser, Page, expect

import reference
import tiny_models
from chromium import ANSWERED, await_state
from lessons_lib import browser, data, files, notebooks, reader, runtime
from real_browser import Watched, kept_page, violations

INT8, INT16 = schema.TensorType.INT8, schema.TensorType.INT16
BIT_IDENTICAL = ("uint8", "int8_float_fallback")  # integers inside: no sum depends on its order


def digits() -> np.ndarray:
    return data.load("mnist").test.images[: browser.DIGITS]


MEASURED = ["measured"]


def opened(page: Page, site: str) -> Page:
    page.goto(f"{site}try-it/index.html", wait_until="commit")
    await_state(page, ANSWERED)
    return page


@pytest.fixture
def tryit(page: Page, site: str) -> Page:
    """The page, where both of its first models have answered."""
    return opened(page, site)


@pytest.fixture(scope="module")
def shared(chromium: Browser, site: str) -> Iterator[Page]:
    """The same, for the tests that leave its models as they are."""
    with kept_page(chromium, site) as page:
        yield opened(page, site)


@pytest.fixture(scope="session")
def models(site_folder: Path) -> Path:
    """The folder of the models that the page loads."""
    return site_folder / "try-it" / "models"


@pytest.fixture(scope="session")
def disturbed(models: Path, tmp_path_factory) -> Path:
    """A file that the site does not have: the uint8 model with noise in its last weights."""

    def disturb(model) -> None:
        graph = model.subgraphs[0]
        constants = [model.buffers[t.buffer] for t in graph.tensors if t.type == INT8]
        last = next(buffer for buffer in constants if buffer.data is not None)
        noise = np.random.default_rng(0).integers(-60, 60, len(last.data))
        data = np.asarray(last.data).view(np.int8) + noise
        last.data = data.clip(-127, 127).astype(np.int8).view(np.uint8)

    path = tmp_path_factory.mktemp("own") / "disturbed.tflite"
    path.write_bytes(changed((models / "uint8.tflite").read_bytes(), disturb))
    return path


def changed(content: bytes, change: Callable) -> bytes:
    """The file after ``change`` of what it says."""
    model = reader.read(content)
    change(model)
    return tiny_models.pack(model)


def choose(page: Page, side: str, path: str) -> None:
    page.get_by_label(f"{side} model").select_option(path)
    await_state(page, ANSWERED)


def open_file(page: Page, side: str, name: str, content: bytes) -> None:
    chosen = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.get_by_label(f"own .tflite … on the {side}").set_input_files(chosen)
    await_state(page, ANSWERED)


def saved(page: Page, path: Path) -> browser.Outputs:
    await_state(page, MEASURED)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the outputs").click()
    assert download.value.suggested_filename == "browser-outputs.json"
    download.value.save_as(path)
    return browser.read_outputs(path)


def answers(page: Page) -> list[str]:
    return [page.locator(f"#tryit-{side}-best").inner_text() for side in ("left", "right")]


def take(page: Page, digit: int) -> None:
    field = page.get_by_label("Number of the test digit")
    field.fill(str(digit))
    field.press("Enter")


# ---- starting


def test_it_answers_at_once(shared):
    assert answers(shared) == ["7", "7"]


def test_without_scripts_it_says_what_it_needs(chromium: Browser, site, site_folder):
    """A browser without JavaScript, and the page as a file on the disk."""
    file = (site_folder / "try-it" / "index.html").as_uri()
    for address, scripts in ((f"{site}try-it/index.html", False), (file, True)):
        context = chromium.new_context(java_script_enabled=scripts)
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_text("a browser of 2023 or later, and a web server")).to_be_visible()
        expect(page.get_by_text("python -m http.server")).to_be_visible()
        expect(page.get_by_label("Left model")).to_be_hidden()
        context.close()


def test_the_notice_goes_when_scripts_run(shared):
    expect(shared.get_by_text("python -m http.server")).to_be_hidden()


def test_a_site_without_models_says_so(watched, site):
    page, _ = watched
    page.route("**/models/manifest.json", lambda route: route.fulfill(status=404))
    page.goto(f"{site}try-it/index.html")
    expect(page.get_by_role("alert").first).to_contain_text("models/manifest.json is not there")


# ---- outputs


@pytest.fixture(scope="module")
def recorded(chromium: Browser, site, tmp_path_factory) -> browser.Outputs:
    """What the page saved for every path, two at a time."""
    page = opened(chromium.new_context().new_page(), site)
    seen, found = Watched(page), {}
    for left, right in zip(browser.PATHS, browser.PATHS[1:] + browser.PATHS[:1], strict=True):
        if left in found and right in found:
            continue
        choose(page, "Left", left)
        choose(page, "Right", right)
        outputs = saved(page, tmp_path_factory.mktemp("saved") / "outputs.json")
        assert list(outputs.models) == [left, right]
        found |= outputs.models
    page.context.close()
    assert seen.errors == []
    return replace(outputs, models=found)


@pytest.mark.parametrize("path", browser.PATHS)
def test_the_outputs_are_those_of_litert_in_python(recorded, models, path):
    model = runtime.Model(models / f"{path}.tflite")
    expected = model.run(model.quantize_input(digits()))
    outputs = recorded.models[path].outputs
    assert outputs.dtype == expected.dtype
    assert outputs.shape == (browser.DIGITS, 10)
    if path in BIT_IDENTICAL:
        np.testing.assert_array_equal(outputs, expected)
    else:
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(outputs.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize("path", browser.PATHS)
def test_the_saved_file_names_the_model(recorded, models, path):
    file = models / f"{path}.tflite"
    recording = recorded.models[path]
    assert recording.sha256 == files.sha256(file)
    assert recording.bytes == file.stat().st_size
    assert len(recording.microseconds) == 7
    assert all(1 < value < 1e6 for value in recording.microseconds)


def test_the_saved_file_says_what_ran_it(recorded):
    package = files.ROOT / "node_modules" / "@litertjs" / "core" / "package.json"
    version = re.search(r'"version": "(.+)"', package.read_text("utf-8"))[1]
    assert recorded.runtime == f"@litertjs/core {version}"
    assert "Chrome" in recorded.browser
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", recorded.taken)


def test_the_same_path_twice_is_saved_twice(tryit, tmp_path):
    choose(tryit, "Left", "uint8")
    outputs = saved(tryit, tmp_path / "outputs.json")
    assert list(outputs.models) == ["uint8", "uint8 (right)"]


def test_uint8_inputs_are_quantized_as_in_python(shared, models):
    """Every pixel, and ties of a scale at which a quotient can end in .5."""
    model = runtime.Model(models / "uint8.tflite")
    pixels = np.arange(256, dtype=np.float32) / np.float32(255)
    images = np.resize(pixels, (1, 28, 28, 1))
    expected = model.quantize_input(images).ravel()
    assert in_page(shared, images, model.input_scale, model.input_zero_point) == expected.tolist()
    ties = np.arange(-20, 764, dtype=np.float32).reshape(images.shape) / 4

    def change(content) -> None:
        tensor(content, "inputs").quantization.scale = [0.5]
        tensor(content, "inputs").quantization.zeroPoint = [3]

    coarse = runtime.Model(changed((models / "uint8.tflite").read_bytes(), change))
    expected = coarse.quantize_input(ties).ravel()
    assert in_page(shared, ties, 0.5, 3) == expected.tolist()
    assert {0, 255} < set(expected.tolist())  # both ends saturate


def in_page(page: Page, x: np.ndarray, scale: float, zero_point: int) -> list[int]:
    return page.evaluate(
        """async ([x, scale, zeroPoint]) => {
          const { quantize } = await import("./affine.js");
          return Array.from(quantize(Float32Array.from(x), scale, zeroPoint));
        }""",
        [x.ravel().tolist(), scale, zero_point],
    )


def read_ends(page: Page, content: bytes) -> dict:
    return page.evaluate(
        """async (content) => {
          const { readEnds } = await import("./tflite.js");
          return readEnds(Uint8Array.from(atob(content), (character) => character.charCodeAt(0)));
        }""",
        base64.b64encode(content).decode(),
    )


@pytest.mark.parametrize("path", browser.PATHS)
def test_scales_are_read_from_the_file(shared, models, path):
    file = models / f"{path}.tflite"
    model = runtime.Model(file)
    (given,), (wanted,) = read_ends(shared, file.read_bytes()).values()
    assert given["dtype"] == model.input_dtype
    assert (given["scale"], given["zeroPoint"]) == (model.input_scale, model.input_zero_point)
    assert given["shape"] == [1, *model.input_shape]
    assert wanted["dtype"] == model.output_dtype
    assert (wanted["scale"], wanted["zeroPoint"]) == (model.output_scale, model.output_zero_point)
    assert wanted["shape"] == [1, *model.output_shape]


def test_zero_points_are_read_from_the_file(shared, models):
    def change(model) -> None:
        tensor(model, "inputs").quantization.zeroPoint = [3]
        tensor(model, "outputs").quantization.zeroPoint = [200]

    content = changed((models / "uint8.tflite").read_bytes(), change)
    (given,), (wanted,) = read_ends(shared, content).values()
    assert (given["zeroPoint"], wanted["zeroPoint"]) == (3, 200)


# ---- the comparison


def test_the_table_shows_both_outputs_and_their_difference(shared, recorded):
    take(shared, 72)
    scale = 1 / 256
    left = recorded.models["float32"].outputs[72]
    right = recorded.models["uint8"].outputs[72] * scale
    expect(shared.locator("#tryit-left-best")).to_have_text(str(left.argmax()))
    rows = shared.locator("#tryit-bars tbody tr")
    for digit in range(10):
        cells = rows.nth(digit).locator("td")
        assert cells.nth(0).inner_text() == f"{left[digit]:.3f}"
        assert cells.nth(1).inner_text() == f"{right[digit]:.3f}"
        shown = float(cells.nth(2).inner_text().replace("−", "-"))
        assert shown == pytest.approx(right[digit] - left[digit], rel=0.5, abs=5e-4)
    largest = np.abs(right - left)
    assert f"{largest.max():.3f} (class {largest.argmax()})" in shared.inner_text("#tryit-largest")


@dataclass
class Shown:
    """What the page says of 100 digits."""

    agreed: int
    right: list[int]
    differ: list[int]


def shown_agreement(page: Page) -> Shown:
    await_state(page, MEASURED)
    agreed = int(re.search(r"(\d+) of 100", page.inner_text("#tryit-agreement"))[1])
    right = [page.inner_text(f"#tryit-{side}-right") for side in ("left", "right")]
    lists = page.locator("#tryit-digit-lists")
    differ = lists.locator("h3:has-text('They differ on') + ul button strong").all_inner_texts()
    return Shown(
        agreed,
        [int(text.removesuffix(" of 100")) for text in right],
        [int(text.removeprefix("Digit ")) for text in differ],
    )


def test_the_agreement_is_that_of_the_saved_outputs(tryit, disturbed, tmp_path):
    """With a disturbed model on the right, so that some digits differ."""
    open_file(tryit, "right", "disturbed.tflite", disturbed.read_bytes())
    outputs = saved(tryit, tmp_path / "outputs.json")
    assert list(outputs.models) == ["float32", "disturbed"]
    left, right = (model.outputs.argmax(axis=1) for model in outputs.models.values())
    labels = data.load("mnist").test.labels[: browser.DIGITS]
    differ = np.flatnonzero(left != right).tolist()
    assert differ
    assert shown_agreement(tryit) == Shown(
        agreed=100 - len(differ),
        right=[int((side == labels).sum()) for side in (left, right)],
        differ=differ,
    )
    tryit.get_by_role("button", name=f"Digit {differ[0]}:").click()
    expect(tryit.locator("#tryit-left-best")).to_have_text(str(left[differ[0]]))
    expect(tryit.locator("#tryit-right-best")).to_have_text(str(right[differ[0]]))
    expect(tryit.locator("#tryit-verdict")).to_have_text(
        f"They differ: {left[differ[0]]} and {right[differ[0]]}."
    )


def test_an_own_file_runs_as_in_python(tryit, disturbed, tmp_path):
    open_file(tryit, "left", "my model.tflite", disturbed.read_bytes())
    assert tryit.get_by_label("Left model").locator(":checked").inner_text() == (
        "my model (your own)"
    )
    recording = saved(tryit, tmp_path / "outputs.json").models["my model"]
    assert recording.sha256 == files.sha256(disturbed)
    model = runtime.Model(disturbed)
    expected = model.run(model.quantize_input(digits()))
    np.testing.assert_array_equal(recording.outputs, expected)
    choose(tryit, "Left", "float16")
    choose(tryit, "Left", "own")  # it stays among the options
    assert saved(tryit, tmp_path / "again.json").models["my model"].sha256 == recording.sha256


def test_a_file_is_opened_by_dropping_it(shared, disturbed):
    content = list(disturbed.read_bytes())
    shared.evaluate(
        """(content) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([Uint8Array.from(content)], "dropped.tflite"));
          const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
          document.getElementById("tryit-left-model").dispatchEvent(event);
        }""",
        content,
    )
    await_state(shared, ANSWERED)
    expect(shared.locator("#tryit-left-head")).to_have_text("dropped")
    choose(shared, "Left", "float32")


def test_sizes_are_those_of_the_files(shared, models):
    left, right = ((models / f"{path}.tflite").stat().st_size for path in ("float32", "uint8"))
    assert shared.inner_text("#tryit-left-bytes") == f"{left:,} bytes"
    expected = f"{right:,} bytes\n{left / right:.1f}x smaller"
    assert shared.inner_text("#tryit-right-bytes") == expected


def test_measure_again_measures_again(tryit, tmp_path):
    before = saved(tryit, tmp_path / "before.json").models["uint8"].microseconds
    tryit.get_by_role("button", name="Measure again").click()
    after = saved(tryit, tmp_path / "after.json").models["uint8"].microseconds
    assert before != after
    low, middle, high = np.percentile(after, [25, 50, 75])
    shown = tryit.inner_text("#tryit-right-time").replace(",", "").replace("µs", " ")
    numbers = [float(text) for text in re.findall(r"[\d.]+", shown)][:3]
    assert numbers == pytest.approx([middle, low, high], rel=0.01)


def test_a_pause_in_the_warm_up_does_not_leave_batches_too_short_for_the_clock(shared):
    """It once did: a time of 0 was saved, which lesson 14 refuses."""
    timed = shared.evaluate(
        """async () => {
          const { measure } = await import(new URL("timing.js", document.baseURI));
          let pause = 60;  // milliseconds, in the first run only
          const repeat = async (tensor, runs) => {
            const end = performance.now() + pause + runs / 50;
            while (performance.now() < end);
            pause = 0;
          };
          const model = { tensor: () => ({ delete() {} }), repeat };
          const session = { models: [model], exclusive: (work) => work() };
          return (await measure(session, [], async () => {}, new AbortController().signal))[0];
        }"""
    )
    assert timed["runs"] > 500 and min(timed["microseconds"]) > 10


def test_it_does_not_measure_while_one_draws(tryit):
    await_state(tryit, MEASURED)
    x, y, width, height = tryit.locator("#tryit-pad").bounding_box().values()
    tryit.mouse.move(x + width / 2, y + height / 4)
    tryit.mouse.down()
    tryit.evaluate("document.getElementById('tryit-measure').click()")
    # A measurement that did not wait would be over after that many quiet turns of its own work.
    tryit.evaluate(
        """async () => {
          const start = performance.now();
          while (performance.now() - start < 3000) await new Promise((r) => setTimeout(r, 20));
        }"""
    )
    assert tryit.inner_text("#tryit-left-time") == "measuring …"
    tryit.mouse.up()
    await_state(tryit, MEASURED)
    assert "µs" in tryit.inner_text("#tryit-left-time")


# ---- drawing


def clear(page: Page) -> None:
    page.get_by_role("button", name="Clear").click()


def draw(page: Page, *points: tuple[float, float]) -> None:
    """Draw with the mouse; points are parts of the pad's width and height."""
    box = page.locator("#tryit-pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def test_a_one_drawn_with_the_mouse_is_a_one(shared):
    take(shared, 0)
    expect(shared.locator("#tryit-verdict")).to_have_text("Both answer 7.")
    draw(shared, (0.52, 0.15), (0.48, 0.85))
    expect(shared.locator("#tryit-verdict")).to_have_text("Both answer 1.")
    assert answers(shared) == ["1", "1"]
    expect(shared.get_by_text("Your drawing")).to_be_visible()


def test_a_drawing_is_extended_and_cleared(shared):
    clear(shared)
    draw(shared, (0.3, 0.2), (0.3, 0.55), (0.7, 0.55))
    draw(shared, (0.65, 0.2), (0.65, 0.85))
    expect(shared.locator("#tryit-verdict")).to_have_text("Both answer 4.")
    clear(shared)
    expect(shared.locator("#tryit-left-best")).to_have_text("–")
    expect(shared.locator("#tryit-verdict")).to_contain_text("Draw a digit")
    draw(shared, (0.2, 0.2), (0.8, 0.2), (0.4, 0.85))
    expect(shared.locator("#tryit-verdict")).to_have_text("Both answer 7.")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_a_seven_drawn_by_keyboard_is_a_seven(shared):
    clear(shared)
    pad = shared.get_by_role("application", name=re.compile("Arrow keys .* Space"))
    pad.focus()
    scrolled = shared.evaluate("scrollY")
    press(shared, *["ArrowUp"] * 9, *["ArrowLeft"] * 7, "Space")
    expect(shared.get_by_role("status")).to_have_text("Pen down.")
    press(shared, *["ArrowRight"] * 14, *["ArrowDown", "ArrowDown", "ArrowLeft"] * 9)
    expect(shared.locator("#tryit-verdict")).to_have_text("Both answer 7.")
    press(shared, "Space")
    expect(shared.get_by_role("status")).to_contain_text("float32: 7, ")  # the answers are said
    assert shared.evaluate("scrollY") == scrolled
    before = shared.locator("#tryit-pad .ink").get_attribute("d")
    press(shared, "ArrowLeft")  # the pen is up
    assert shared.locator("#tryit-pad .ink").get_attribute("d") == before


def test_a_finger_draws_on_a_phone(chromium: Browser, site):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = opened(context.new_page(), site)
    box = page.locator("#tryit-pad").bounding_box()
    session = context.new_cdp_session(page)
    x = box["x"] + box["width"] / 2
    moves = [("touchStart", 0.85), *(("touchMove", 0.85 - 0.1 * k) for k in range(1, 8))]
    for kind, part in moves:
        point = {"x": x, "y": box["y"] + part * box["height"]}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#tryit-verdict")).to_have_text("Both answer 1.")
    assert page.evaluate("scrollY") == 0  # the page has not moved under the finger
    context.close()


def to_mnist(page: Page, *strokes: list[tuple[float, float]]) -> np.ndarray:
    pixels = page.evaluate(
        """async (strokes) => {
          const { toMnist } = await import("./preprocess.js");
          return Array.from(toMnist(strokes));
        }""",
        strokes,
    )
    return np.array(pixels).reshape(28, 28)


def test_a_drawing_takes_the_form_of_mnist(shared):
    """20 pixels tall, its centre of mass where that of MNIST's own digits is."""
    seven = [(60, 60), (200, 70), (100, 240)]
    image = to_mnist(shared, seven)
    assert image.max() == 255
    assert image.max(axis=1).sum() / 255 == pytest.approx(20, abs=0.7)
    for axis in (0, 1):
        place = np.indices((28, 28))[axis]
        theirs = [np.average(place, weights=test) for test in digits()[..., 0]]
        assert np.average(place, weights=image) == pytest.approx(np.mean(theirs), abs=0.1)
    wide = to_mnist(shared, [(0, 0), (280, 0)])
    assert wide.max(axis=0).sum() / 255 == pytest.approx(20, abs=0.7)


def test_place_and_size_of_a_drawing_do_not_matter(shared):
    strokes = [(60, 60), (200, 70), (100, 240)]
    smaller = [(20 + x / 4, 90 + y / 4) for x, y in strokes]
    np.testing.assert_allclose(to_mnist(shared, smaller), to_mnist(shared, strokes), atol=1)


def test_the_pad_may_be_cleared_while_the_pen_is_down(shared):
    clear(shared)
    x, y, width, height = shared.locator("#tryit-pad").bounding_box().values()
    shared.mouse.move(x + width / 2, y + height / 4)
    shared.mouse.down()
    shared.evaluate("document.getElementById('tryit-clear').click()")
    shared.mouse.move(x + width / 2, y + 3 * height / 4, steps=8)
    shared.mouse.up()
    expect(shared.locator("#tryit-verdict")).to_have_text(re.compile(r"answer"))


def test_nothing_and_a_dot(shared):
    assert not to_mnist(shared).any()
    assert 1 <= (to_mnist(shared, [(9, 9)]) > 127).sum() <= 12


# ---- test digits


def test_test_digits_are_taken_by_number_and_by_buttons(shared):
    labels = data.load("mnist").test.labels
    field, source = shared.get_by_label("Number of the test digit"), shared.locator("#tryit-source")
    shared.get_by_role("button", name="Next test digit").click()
    expect(source).to_have_text(f"Test digit 1, labelled {labels[1]}")
    shared.get_by_role("button", name="Previous test digit").click()
    shared.get_by_role("button", name="Previous test digit").click()
    expect(source).to_have_text(f"Test digit 99, labelled {labels[99]}")
    field.fill("1000")
    field.press("Enter")
    expect(field).to_have_value("99")
    field.fill("12")
    field.press("Enter")
    expect(source).to_have_text(f"Test digit 12, labelled {labels[12]}")
    shared.get_by_role("button", name="Random test digit").click()
    expect(source).not_to_have_text(f"Test digit 12, labelled {labels[12]}")


def test_the_models_see_the_pixels_of_the_test_digit(tryit):
    shown = tryit.evaluate(
        """() => {
          const canvas = document.getElementById("tryit-seen");
          return Array.from(canvas.getContext("2d").getImageData(0, 0, 28, 28).data);
        }"""
    )
    pixels = np.array(shown).reshape(28, 28, 4)[..., 0]
    np.testing.assert_array_equal(pixels, data.load("mnist").test.pixels[0].reshape(28, 28))


# ---- files that cannot be used


def tensor(model, end: str):
    """The only ``inputs`` or ``outputs`` of the model."""
    graph = model.subgraphs[0]
    return graph.tensors[getattr(graph, end)[0]]


def dtype(end: str, code: int):
    def change(model) -> None:
        tensor(model, end).type = code

    return change


def shape(end: str, *sizes: int, signature: tuple[int, ...] | None = None):
    def change(model) -> None:
        tensor(model, end).shape = list(sizes)
        tensor(model, end).shapeSignature = signature and list(signature)

    return change


def twice(end: str):
    def change(model) -> None:
        graph = model.subgraphs[0]
        setattr(graph, end, [*getattr(graph, end), 1])

    return change


def no_scale(model) -> None:
    tensor(model, "inputs").quantization = None


def custom_operator(model) -> None:
    code = model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"NoSuchOperator"


def future_operator(model) -> None:
    model.operatorCodes[1].version = 99


def no_weights(model) -> None:
    """LiteRT.js gives outputs all the same, and only its log tells that they mean nothing."""
    weights = next(t for t in model.subgraphs[0].tensors if t.type == INT8)
    weights.buffer = 0


def no_scale_inside(model) -> None:
    """The output of the first convolution, which the WebAssembly does not survive."""
    graph = model.subgraphs[0]
    graph.tensors[graph.operators[1].outputs[0]].quantization.scale = np.float32([])


def damaged(content: bytes) -> bytes:
    """Its end is gone, where a file describes its graph."""
    half = len(content) // 2
    return content[:half] + bytes(len(content) - half)


BAD = {
    "int8 input": (lambda c: changed(c, dtype("inputs", INT8)), r"input is int8.*uint8 or float"),
    "int16 input": (
        lambda c: changed(c, dtype("inputs", INT16)),
        r"input is int16.*uint8 or float",
    ),
    "int32 input": (
        lambda c: changed(c, dtype("inputs", schema.TensorType.INT32)),
        r"input is int32. The page gives an image .* float32 or as uint8",
    ),
    "int8 output": (lambda c: changed(c, dtype("outputs", INT8)), r"output is int8"),
    "dynamic batch": (
        lambda c: changed(c, shape("inputs", 1, 28, 28, 1, signature=(-1, 28, 28, 1))),
        r"dynamic.*\[-1, 28, 28, 1\].*sources\.save\(model, folder, batch_size=1\)",
    ),
    "wrong shape": (
        lambda c: changed(c, shape("inputs", 1, 14, 14, 1)),
        r"shape \[1, 14, 14, 1\].*\[1, 28, 28, 1\].*784",
    ),
    "five classes": (lambda c: changed(c, shape("outputs", 1, 5)), r"shape \[1, 5\].*\[1, 10\]"),
    "two inputs": (lambda c: changed(c, twice("inputs")), r"2 inputs and 1 output"),
    "two outputs": (lambda c: changed(c, twice("outputs")), r"1 input and 2 outputs"),
    "no scale": (lambda c: changed(c, no_scale), r"without a scale"),
    "cut short": (lambda c: c[: len(c) // 2], r"damaged or cut short"),
    "damaged": (damaged, r"damaged or cut short"),
    "custom operator": (lambda c: changed(c, custom_operator), r"\(.*NoSuchOperator.*\)"),
    "future operator": (lambda c: changed(c, future_operator), r"\(.*CONV_2D.* version '99'.*\)"),
    "no weights": (lambda c: changed(c, no_weights), r"cannot run this model \(.*lacks data\)"),
    "abort": (
        lambda c: changed(c, no_scale_inside),
        r"crashed the runtime \(Aborted.+started again",
    ),
    "endless": (tiny_models.endless_loop, r"crashed the runtime \(.+\), which was started again"),
    "text": (lambda c: b"no model at all" * 99, r"no \.tflite: .*TFL3"),
    "short text": (lambda c: b"no", r"no \.tflite: .*TFL3"),
    "empty": (lambda c: b"", r"is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_explained_and_changes_nothing(shared, models, name):
    clear(shared)
    make, message = BAD[name]
    content = make((models / "uint8.tflite").read_bytes())
    open_file(shared, "right", f"{name}.tflite", content)
    alert = shared.locator("#tryit-right-alert")
    expect(alert).to_have_text(re.compile(f"^{name}: .*{message}.*lesson 14"))
    expect(alert.get_by_role("link")).to_have_attribute("href", re.compile("/14_run_browser.html"))
    expect(shared.locator("#tryit-left-alert")).to_be_empty()
    expect(shared.get_by_label("Right model")).to_have_value("uint8")
    take(shared, 0)
    expect(shared.locator("#tryit-verdict")).to_have_text("Both answer 7.")


def test_after_a_crash_other_files_open_and_the_message_goes(tryit, models, disturbed, tmp_path):
    crash = changed((models / "uint8.tflite").read_bytes(), no_scale_inside)
    for start in (2, 3):  # the same file twice, and each time a fresh runtime after it
        with tryit.expect_request(re.compile(rf"/core/dist/index\.js\?start={start}$")):
            open_file(tryit, "left", "crash.tflite", crash)
    expect(tryit.locator("#tryit-left-alert")).to_contain_text("crashed the runtime")
    open_file(tryit, "left", "disturbed.tflite", disturbed.read_bytes())
    expect(tryit.locator("#tryit-left-alert")).to_be_empty()
    outputs = saved(tryit, tmp_path / "outputs.json").models
    for name, file in (("disturbed", disturbed), ("uint8", models / "uint8.tflite")):
        model = runtime.Model(file)
        expected = model.run(model.quantize_input(digits()))
        np.testing.assert_array_equal(outputs[name].outputs, expected)


def test_a_model_without_softmax_is_shown_as_it_is(tryit, models):
    """Outputs that are no probabilities: here codes with a scale a hundred times too large."""

    def stretch(model) -> None:
        quantization = tensor(model, "outputs").quantization
        quantization.scale = np.float32([100 * quantization.scale[0]])

    content = changed((models / "uint8.tflite").read_bytes(), stretch)
    open_file(tryit, "right", "logits.tflite", content)
    expect(tryit.get_by_text("are no probabilities")).to_be_visible()


def test_paths_that_no_browser_runs_are_listed_with_the_reason(shared):
    for name, kind in (("int8", "int8"), ("int16x8", "int16")):
        option = shared.get_by_label("Left model").locator(f"option[value={name}]")
        expect(option).to_have_text(f"{name}: LiteRT.js refuses {kind} input")
        expect(option).to_be_disabled()


def test_quick_choices_end_with_the_last_one(tryit, models, tmp_path):
    tryit.evaluate(
        """() => {
          window.failures = [];
          const place = document.getElementById("tryit-failure");
          const note = () => window.failures.push(place.textContent);
          new MutationObserver(note).observe(place, { childList: true });
        }"""
    )
    for path in ("float16", "dynamic_range", "int8_float_fallback"):
        tryit.get_by_label("Right model").select_option(path)
    outputs = saved(tryit, tmp_path / "outputs.json").models
    assert not any(tryit.evaluate("window.failures"))  # nothing ran with a model that had gone
    expect(tryit.get_by_label("Right model")).to_have_value("int8_float_fallback")
    assert list(outputs) == ["float32", "int8_float_fallback"]
    expected = runtime.Model(models / "int8_float_fallback.tflite").run(digits())
    np.testing.assert_array_equal(outputs["int8_float_fallback"].outputs, expected)


def test_nothing_is_saved_of_a_pair_that_is_changing(tryit):
    """Names of the new models beside outputs of the old ones would be a false record."""
    await_state(tryit, MEASURED)
    disabled = """(path) => {
      const select = document.getElementById("tryit-left-model");
      select.value = path;
      select.dispatchEvent(new Event("change"));
      return ["save", "measure"].map(
        (name) => document.getElementById(`tryit-${name}`).getAttribute("aria-disabled"));
    }"""
    assert tryit.evaluate(disabled, "float16") == ["true", "true"]
    await_state(tryit, MEASURED)
    expect(tryit.get_by_role("button", name="Save the outputs")).to_be_enabled()
    expect(tryit.locator("#tryit-failure")).to_be_empty()


def test_a_refusal_goes_when_a_later_choice_is_loaded(tryit):
    bad = {"name": "bad.tflite", "mimeType": "application/octet-stream", "buffer": b"no model"}
    tryit.evaluate(
        """() => new MutationObserver(() => { window.refused = true; }).observe(
          document.getElementById("tryit-right-alert"), { childList: true })"""
    )
    tryit.get_by_label("own .tflite … on the right").set_input_files(bad)
    tryit.get_by_label("Right model").select_option("float16")
    await_state(tryit, MEASURED)
    assert tryit.evaluate("window.refused")
    expect(tryit.get_by_label("Right model")).to_have_value("float16")
    expect(tryit.locator("#tryit-right-alert")).to_be_empty()


# ---- what the runtime itself says, as lesson 14 quotes it

DIRECT = """async (bytes) => {
  const heard = [];
  self.Module = { print() {}, printErr: (line) => heard.push(line) };
  const core = new URL("runtime/core/", location.href);
  const library = await import(new URL("dist/index.js?direct", core).href);
  self.lrt ??= await library.loadLiteRt(new URL("wasm/", core).href).then(() => ({ library, heard }));
  self.lrt.heard.length = 0;
  const said = { error: null, outputs: null };
  try {
    const model = await self.lrt.library.loadAndCompile(
      Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)), { accelerator: "wasm" });
    const { dtype } = model.getInputDetails()[0];
    const pixels = dtype === "uint8" ? new Uint8Array(784) : new Float32Array(784);
    const [output] = await model.run([new self.lrt.library.Tensor(pixels, [1, 28, 28, 1])]);
    said.outputs = [...output.toTypedArray()];
  } catch (error) {
    said.error = error.message;
  }
  return { ...said, heard: self.lrt.heard };
}"""  # noqa: E501


@pytest.fixture(scope="module")
def direct(shared) -> Callable[[bytes], dict]:
    """Run a file with LiteRT.js alone, without the page's own look at it."""
    return lambda content: shared.evaluate(DIRECT, base64.b64encode(content).decode())


def test_the_runtime_alone_runs_a_good_file(direct, models):
    said = direct((models / "uint8.tflite").read_bytes())
    assert said["error"] is None and len(said["outputs"]) == 10
    assert not any(line.startswith("ERROR") for line in said["heard"])


def test_the_runtime_refuses_int8_ends(direct):
    said = direct(reference.converted()["int8"])
    assert said["error"] == "Element type INT8 is not supported."


def test_the_runtime_refuses_a_dynamic_batch_when_it_runs(direct):
    said = direct(reference.converted()["float32"])
    assert said["error"] == (
        "TensorBuffer ranked tensor type Float32[1, 28, 28, 1] does not match expected ranked "
        "tensor type Float32[-1, 28, 28, 1]"
    )


def test_the_runtime_gives_outputs_when_it_cannot_calculate_them(direct, models):
    """Why the page listens to the log: there is no error."""
    said = direct(changed((models / "uint8.tflite").read_bytes(), no_weights))
    assert said["error"] is None
    assert len(said["outputs"]) == 10
    assert any(re.search(r"^ERROR: .*Input tensor \d+ lacks data", line) for line in said["heard"])


def test_lesson_14_quotes_the_runtime():
    lesson = notebooks.find([14])[0].read_text("utf-8")
    for words in ("Element type INT8 is not supported.", "Float32[-1, 28, 28, 1]", "lacks data"):
        assert words in lesson


# ---- for everyone


def test_with_results_and_an_error_it_is_accessible_and_fits_a_phone(tryit, disturbed):
    """With all that can appear; `test_pages` sees the page as it is at first, and its frame."""
    open_file(tryit, "right", "disturbed.tflite", disturbed.read_bytes())
    open_file(tryit, "left", "a" * 60 + ".tflite", b"no model")
    for scheme, width in itertools.product(("light", "dark"), (1280, 390)):
        tryit.emulate_media(color_scheme=scheme)
        tryit.set_viewport_size({"width": width, "height": 844})
        expect(tryit.locator("html")).to_have_attribute("data-theme", scheme)
        assert violations(tryit, ".tryit") == []
        root = "document.documentElement"
        assert tryit.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")


def test_every_control_is_reached_with_the_tab_key(shared):
    shared.locator("#tryit-pad").focus()
    reached = set()
    for _ in range(16):
        reached.add(shared.evaluate("document.activeElement.id"))
        shared.keyboard.press("Tab")
    controls = shared.locator("#tryit-app :is(button, select, input, [tabindex])")
    named = {handle.get_attribute("id") for handle in controls.all()} - {None}
    assert named <= reached
