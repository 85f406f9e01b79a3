"""The page ``look-inside/`` in a real browser: what it shows beside what Python computes."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from chromium import page_weight
from lessons_lib import browser, data, integer_engine, reader, runtime, tables
from real_browser import kept_page
from real_browser import violations as found_by_axe
from reference import converted
from tiny_models import pack

MEGABYTES = 3  # page and models together
FIRST_ANSWER, STEP = 1_000, 50  # milliseconds on a quiet machine
SLACK = 6  # times as long on a busy one
NAMES = ["input", "quantize", "conv1", "pool1", "conv2", "pool2", "flatten", "dense1"]
NAMES += ["probabilities", "softmax", "quantize_2"]


def opened(page: Page, site: str, place: str = "") -> Page:
    page.goto(f"{site}look-inside/index.html{place}", wait_until="commit")
    page.wait_for_function("document.documentElement?.dataset.lookInside === 'ready'")
    return page


@pytest.fixture
def look(page: Page, site: str) -> Page:
    return opened(page, site)


@pytest.fixture(scope="module")
def shared(chromium: Browser, site: str) -> Iterator[Page]:
    """The page, for the tests that go where they want by an address."""
    with kept_page(chromium, site) as page:
        yield opened(page, site)


@pytest.fixture(scope="session")
def models(site_folder: Path) -> dict[str, bytes]:
    folder = site_folder / "try-it" / "models"
    return {name: (folder / f"{name}.tflite").read_bytes() for name in ("uint8", "float32")}


def go(page: Page, place: str) -> None:
    """Follow an address inside of the page."""
    page.evaluate("place => { location.hash = place; }", place)


def codes(content: bytes, digit: int) -> np.ndarray:
    image = data.load("mnist").test.images[digit : digit + 1]
    return runtime.Model(content).quantize_input(image)


def shown_codes(page: Page) -> dict[int, np.ndarray]:
    """All codes that the page has computed, by the index of their tensor."""
    found = page.evaluate(
        "() => Array.from(lookInside.model.codes, ([i, { data }]) => [i, Array.from(data)])"
    )
    return {index: np.array(values) for index, values in found}


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def violations(page: Page, part: str) -> list[str]:
    """The rules that axe finds broken in a part of the page, when its colours have faded."""
    page.evaluate(
        """async (part) => {
          const fades = document.querySelector(part).getAnimations({ subtree: true });
          await Promise.allSettled(fades.map((fade) => fade.finished));
        }""",
        part,
    )
    return found_by_axe(page, part)


# ---- starting


def test_it_opens_a_layer_at_once(shared):
    assert shared.locator("#look-chain strong").all_inner_texts() == NAMES
    expect(shared.locator("#look-answer")).to_contain_text("The model answers 7 (0.99")
    expect(shared.locator("#look-layer")).to_have_text("conv2")
    expect(shared.locator("#look-notice")).to_be_hidden()


def test_without_scripts_it_says_what_it_needs(chromium: Browser, site, site_folder):
    file = (site_folder / "look-inside" / "index.html").as_uri()
    for address, scripts in ((f"{site}look-inside/index.html", False), (file, True)):
        page = chromium.new_context(java_script_enabled=scripts).new_page()
        page.goto(address)
        expect(page.get_by_text("a browser of 2023 or later, and a web server")).to_be_visible()
        expect(page.locator("#look-app")).to_be_hidden()
        page.context.close()


def test_a_site_without_models_says_so(watched, site):
    page, _ = watched
    page.route("**/models/manifest.json", lambda route: route.fulfill(status=404))
    page.goto(f"{site}look-inside/index.html")
    expect(page.get_by_role("alert").first).to_contain_text("models/manifest.json is not there")


def test_page_and_models_are_light_and_need_no_runtime(chromium, site):
    weight = page_weight(chromium, f"{site}look-inside/index.html")
    assert sum(weight.values()) < MEGABYTES * 1e6
    assert not any(address.endswith(".wasm") for address in weight)


def test_it_answers_soon_and_a_step_is_quick(look):
    first = look.evaluate("performance.getEntriesByName('look-inside-ready')[0].startTime")
    steps = look.evaluate(
        """() => Array.from({ length: 30 }, (_, i) => {
          const map = document.getElementById("look-map");
          const key = ["ArrowRight", "ArrowDown", "PageDown", "ArrowLeft", "ArrowUp"][i % 5];
          const start = performance.now();
          map.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
          document.body.getBoundingClientRect(); // lay it out as well
          return performance.now() - start;
        })"""
    )
    print(f"first answer {first:.0f} ms, a step {median(steps):.1f} ms")
    assert first < SLACK * FIRST_ANSWER
    assert median(steps) < SLACK * STEP


# ---- the integers


@pytest.mark.parametrize("rule", integer_engine.KERNELS)
def test_the_codes_of_a_digit_are_those_of_python(shared, models, rule):
    go(shared, f"layer=conv1&output=0,0,0&rule={rule}&digit=7")
    expected = integer_engine.trace(models["uint8"], codes(models["uint8"], 7), rule)
    found = shown_codes(shared)
    assert set(found) == set(expected)
    for index, values in expected.items():
        np.testing.assert_array_equal(found[index], values.ravel())


def test_codes_that_change_with_the_rules_are_counted(shared, models):
    x = codes(models["uint8"], 7)
    reference, other = (
        integer_engine.trace(models["uint8"], x, rule) for rule in ("reference", "xnnpack")
    )
    counts = [int((reference[index] != other[index]).sum()) for index in reference]
    assert sum(counts) > 3
    go(shared, "layer=conv2&output=1,5,5&rule=reference&digit=7")
    shared.get_by_label("XNNPACK").check()
    expect(shared.locator("#look-differ")).to_have_text(
        f"{sum(counts)} codes differ from those of the reference kernels, first in conv1."
    )
    news = shared.locator("#look-chain .news").all_inner_texts()
    assert sum(int(found[1]) for text in news if (found := re.match(r"(\d+) differ", text))) == sum(
        counts
    )
    expect(shared).to_have_url(re.compile("rule=xnnpack"))


def test_the_steps_of_an_output_are_what_the_file_says(shared, models):
    """The example of a convolution, computed from the file: sum, bias, multiplier, code."""
    go(shared, "layer=conv2&output=3,4,5&rule=tflm&digit=7")
    content = models["uint8"]
    values = integer_engine.trace(content, codes(content, 7), "tflm")
    operator = tables.operators(content).set_index("layer").loc["conv2"]
    source, weight, bias = operator["inputs"]
    by_name = tables.tensors(content).reset_index(names="place").set_index("name")
    window = values[by_name.loc[source, "index"]][0, 3:6, 4:7].astype(int) + 128
    kernel, biases = (reader.constant(content, name) for name in (weight, bias))
    products = window * kernel[5].astype(int)
    rows = dict(
        zip(
            shared.locator(".ladder th").all_inner_texts(),
            shared.locator(".ladder td:nth-child(2)").all_inner_texts(),
            strict=True,
        )
    )
    assert number(rows["sum of products"]) == products.sum()
    assert number(rows["bias"]) == biases[5]
    assert number(rows["accumulator"]) == products.sum() + biases[5]
    code = values[by_name.loc[operator["outputs"][0], "index"]][0, 3, 4, 5]
    assert number(rows["clipped"]) == code == number(shared.inner_text("#look-code"))


def test_the_float_models_values_stand_beside(shared, models):
    go(shared, "layer=conv2&output=1,5,5&rule=reference&digit=7")
    image = data.load("mnist").test.images[7:8]
    floats = runtime.tensor_values(models["float32"], image)
    outputs = tables.operators(models["float32"])["outputs"].tolist()
    names = tables.tensors(models["float32"]).set_index("name")["index"]
    expected = [floats[names[name]] for (name,) in outputs]
    found = shared.evaluate(
        """() => lookInside.model.layers.filter(({ operator }) => operator !== "" && operator !== "QUANTIZE")
          .map(({ index }) => Array.from(lookInside.model.reals.get(index).data))"""  # noqa: E501
    )
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.ravel(), rtol=1e-4, atol=2e-5)
    assert number(shared.inner_text("#look-beside")) == pytest.approx(
        expected[2][0, 1, 5, 5], rel=1e-3
    )


# ---- going about


def test_an_address_opens_a_layer_and_an_output(page, site):
    opened(page, site, "#layer=dense1&output=17&rule=builtin&digit=3")
    expect(page.locator("#look-output")).to_have_text("Output [17] of dense1")
    expect(page.get_by_label("LiteRT builtin")).to_be_checked()
    expect(page.get_by_label("Number of the test digit")).to_have_value("3")
    expect(page.locator("#look-chain [aria-current] strong")).to_have_text("dense1")


@pytest.mark.parametrize(
    "place", ["layer=nothing", "output=-1,2", "layer=conv1&output=99,99,99", "rule=x", "digit=1e9"]
)
def test_a_wrong_address_opens_something(page, site, place):
    opened(page, site, f"#{place}&spoil=pool1,2")
    expect(page.locator("#look-output")).to_contain_text("Output [")
    expect(page.locator("#look-failure")).to_be_empty()


def test_a_term_leads_up_to_what_it_is_made_of_and_back(look):
    go(look, "layer=conv2&output=3,4,5&rule=reference&digit=7")
    expect(look.locator("#look-output")).to_have_text("Output [3, 4, 5] of conv2")
    channel = re.search(r"channel (\d+)", look.inner_text("#look-sum .line"))[1]
    look.locator(".term").nth(5).click()
    expect(look.locator("#look-output")).to_have_text(f"Output [4, 6, {channel}] of pool1")
    look.locator(".term").nth(3).click()
    expect(look.locator("#look-output")).to_have_text(f"Output [9, 13, {channel}] of conv1")
    look.go_back()
    look.go_back()
    expect(look.locator("#look-output")).to_have_text("Output [3, 4, 5] of conv2")


def test_keys_choose_an_output_a_channel_and_a_term(look):
    go(look, "layer=conv1&output=3,4,5&digit=0")
    expect(look.locator("#look-output")).to_have_text("Output [3, 4, 5] of conv1")
    look.locator("#look-map").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "PageDown"):
        look.keyboard.press(key)
    expect(look.locator("#look-output")).to_have_text("Output [4, 6, 6] of conv1")
    expect(look.locator("#look-status")).to_contain_text("[4, 6, 6]: code")
    expect(look).to_have_url(re.compile("output=4,6,6"))
    look.locator(".term").first.focus()
    look.keyboard.press("Enter")
    expect(look.locator("#look-output")).to_have_text("Output [4, 6, 0] of quantize")
    assert look.evaluate("document.activeElement.id") == "look-map"


def test_every_layer_opens_and_every_output_is_explained(shared):
    """Down to the code that the map shows, wherever one looks; by all four rules."""
    for rule, name in itertools.product(integer_engine.KERNELS, NAMES):
        go(shared, f"layer={name}&rule={rule}&digit=4")
        expect(shared.locator("#look-layer")).to_have_text(name)
        wrong = shared.evaluate(
            """() => {
              const { model, layer } = lookInside;
              const { data } = model.codes.get(layer.index);
              const step = Math.max(1, Math.floor(data.length / 97));
              return Array.from(data.keys()).filter((i) => i % step === 0)
                .filter((i) => (model.explain(layer, i)?.code ?? data[i]) !== data[i]);
            }"""
        )
        assert wrong == [], (rule, name)


def test_a_drawing_is_computed(look):
    box = look.locator("#tryit-pad").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"]
    look.get_by_role("button", name="Clear").click()
    look.mouse.move(x, y + 0.15 * box["height"])
    look.mouse.down()
    look.mouse.move(x, y + 0.85 * box["height"], steps=9)
    look.mouse.up()
    expect(look.locator("#look-answer")).to_contain_text("The model answers 1")
    expect(look).not_to_have_url(re.compile("digit="))


# ---- a range that is spoiled


def spoiled(content: bytes, factor: float) -> bytes:
    """The file with the range of conv1, and of pool1, times the factor; conv2's bias anew."""
    model = reader.read(content)
    graph = model.subgraphs[0]
    conv1, pool1, conv2 = graph.operators[1:4]
    for index in (conv1.outputs[0], pool1.outputs[0], conv2.inputs[2]):
        quantization = graph.tensors[index].quantization
        quantization.scale = np.float32(np.asarray(quantization.scale) * factor)
    buffer = model.buffers[graph.tensors[conv2.inputs[2]].buffer]
    biases = np.asarray(buffer.data).view(np.int32) / factor
    whole = np.trunc(biases + np.copysign(0.5, biases)).astype(np.int32)
    buffer.data = whole.view(np.uint8)
    return pack(model)


@pytest.mark.parametrize("factor", [0.25, 4])
def test_a_spoiled_range_gives_what_a_file_with_it_gives(shared, models, factor):
    go(shared, f"layer=conv1&output=3,3,3&rule=reference&digit=7&spoil=conv1,{factor}")
    content = spoiled(models["uint8"], factor)
    expected = integer_engine.trace(content, codes(content, 7), "reference")
    found = shown_codes(shared)
    for index, values in expected.items():
        np.testing.assert_array_equal(found[index], values.ravel())
    moved = shared.locator("#look-chain li").nth(4).inner_text()
    clean = integer_engine.trace(models["uint8"], codes(models["uint8"], 7), "reference")
    operator = tables.operators(models["uint8"]).set_index("layer").loc["conv2"]
    index = tables.tensors(models["uint8"]).set_index("name").loc[operator["outputs"][0], "index"]
    share = np.mean(clean[index] != expected[index])
    assert f"{np.ceil(100 * share):.0f} % moved" in moved


def test_the_slider_spoils_by_keyboard_and_the_button_mends(look, models):
    go(look, "layer=conv1&output=3,3,3&rule=reference&digit=7")
    slider = look.get_by_label("Spoil this layer's range")
    slider.focus()
    for _ in range(16):
        look.keyboard.press("ArrowLeft")
    expect(look.locator("#look-spoil-says")).to_contain_text("conv1 is 16 times too narrow")
    expect(slider).to_have_attribute("aria-valuetext", "16 times too narrow")
    expect(look).to_have_url(re.compile(r"spoil=conv1,0\.0625"))
    look.get_by_role("button", name="As calibrated").click()
    expect(look.locator("#look-spoil-says")).to_contain_text("as calibrated")
    clean = integer_engine.trace(models["uint8"], codes(models["uint8"], 7))
    for index, values in shown_codes(look).items():
        np.testing.assert_array_equal(values, clean[index].ravel())
    go(look, "layer=pool1&output=3,3,3&digit=7")
    expect(slider).to_be_disabled()


# ---- a file of one's own


def open_file(page: Page, name: str, content: bytes) -> None:
    chosen = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.get_by_label("Open your own integer .tflite").set_input_files(chosen)


@pytest.mark.parametrize("path", ["int8", "uint8", "int8_float_fallback"])
def test_an_own_file_is_taken_apart(look, path):
    content = converted("ds_cnn")[path]
    go(look, "layer=conv1&output=3,3,3&rule=tflm&digit=7")
    open_file(look, "ds_cnn.tflite", content)
    expect(look.locator("#look-model")).to_contain_text("ds_cnn: ")
    x = codes(content, 7) if path != "int8_float_fallback" else data.load("mnist").test.images[7:8]
    expected = integer_engine.trace(content, x, "reference")
    for index, values in shown_codes(look).items():
        np.testing.assert_allclose(values, expected[index].ravel(), rtol=0, atol=1e-6)
    expect(look.locator("#look-beside-name")).to_have_text("without rounding")
    for link in look.locator("#look-chain button").all():
        link.click()
    look.get_by_role("button", name="Back to the course's model").click()
    assert look.locator("#look-chain strong").all_inner_texts() == NAMES


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("float32", "^float32: CONV_2D takes float32.*not full integer"),
        ("int16x8", "^int16x8: CONV_2D takes or gives int16"),
    ],
)
def test_what_the_engine_lacks_is_refused_and_changes_nothing(look, path, message):
    open_file(look, path, converted()[path])
    expect(look.locator("#look-failure")).to_have_text(re.compile(message))
    assert look.locator("#look-chain strong").all_inner_texts() == NAMES
    go(look, "layer=conv1&digit=2")
    expect(look.locator("#look-failure")).to_be_empty()


# ---- small views in other pages

VIEWS = {
    "index.html": "layer=conv2&output=7,9,22&rule=tflm&digit=7",
    "notebooks/07_quantize_integers.html": "layer=dense1&output=55&rule=tflm&digit=7",
    "notebooks/09_run_int8.html": "layer=conv2&output=1,5,5&rule=xnnpack&digit=7",
    "notebooks/10_quantize_model.html": "layer=conv1&output=13,12,7&rule=tflm&digit=7",
}


def started(page: Page, address: str) -> Locator:
    """The view of a page, computed."""
    page.goto(address, wait_until="load")
    view = page.locator(".look-view")
    view.scroll_into_view_if_needed()
    if view.get_attribute("data-wait") is not None:
        view.get_by_role("button", name="Compute one here").click()
    expect(view).to_have_attribute("data-state", "ready")
    return view


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shows_what_its_link_opens(page, site, name):
    """The same code, by the same rules, for the same digit, with an output that is not clipped."""
    view = started(page, site + name)
    assert view.get_attribute("data-place") == VIEWS[name]
    expect(view.locator("#look-more")).to_have_attribute(
        "href", f"{site}look-inside/index.html#{VIEWS[name]}"
    )
    here, code = page.inner_text("#look-here"), view.locator(".ladder .last .whole").inner_text()
    assert number(code) > -128
    opened(page, site, f"#{VIEWS[name]}")
    assert page.inner_text("#look-here") == here
    assert page.inner_text("#look-code") == code


def test_lesson_9_shows_a_code_that_the_runtimes_round_otherwise(page, site):
    view = started(page, f"{site}notebooks/09_run_int8.html")
    expect(view.locator("#look-here")).to_contain_text("by the reference kernels")
    view.get_by_label("tflm").check()
    expect(view.locator("#look-here")).not_to_contain_text("by the reference kernels")
    expect(view.locator(".ladder")).to_contain_text("multiplier")


def test_lesson_10_leads_to_a_range_that_is_spoiled(page, site):
    page.goto(f"{site}notebooks/10_quantize_model.html")
    page.get_by_role("link", name="a range of step 1 spoiled").click()
    expect(page.locator("#look-spoil-says")).to_contain_text("conv1 is 4 times too narrow")


def test_a_view_goes_up_the_graph_and_on_to_other_digits(page, site, models):
    view = started(page, f"{site}notebooks/09_run_int8.html")
    view.locator(".term").first.click()
    expect(view.locator("#look-layer")).to_contain_text("pool1")
    assert page.evaluate("document.activeElement.id") == "look-map"
    view.get_by_role("button", name="Next test digit").click()
    best = integer_engine.run(models["uint8"], codes(models["uint8"], 8)).argmax()
    expect(view.locator("#look-digit")).to_have_text(f"digit 8: the model answers {best}")


def test_without_scripts_a_text_and_a_link_stay(chromium, site):
    page = chromium.new_context(java_script_enabled=False).new_page()
    for name in VIEWS:
        page.goto(site + name)
        expect(page.locator(".look-view a")).to_have_attribute("href", re.compile("look-inside/"))
        assert page.locator(".look-view button").count() == 0
    page.context.close()


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_accessible_and_fits_a_phone(page, site, name):
    started(page, site + name)
    for scheme, width in itertools.product(("light", "dark"), (1280, 400)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 844})
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        assert violations(page, ".look-view") == [], (scheme, width)
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), width


# ---- for everyone


def test_with_all_that_can_appear_it_is_accessible_and_fits_a_phone(look):
    places = ("layer=dense1&rule=xnnpack&digit=7&spoil=conv1,0.5", "layer=conv1&digit=7")
    for place, scheme, width in itertools.product(places, ("light", "dark"), (1280, 400)):
        go(look, place)
        open_file(look, "a" * 60 + ".tflite", b"no model")
        expect(look.locator("#look-failure")).to_contain_text("no .tflite")
        look.emulate_media(color_scheme=scheme)
        look.set_viewport_size({"width": width, "height": 844})
        expect(look.locator("html")).to_have_attribute("data-theme", scheme)
        assert violations(look, ".look") == [], (place, scheme, width)
        root = "document.documentElement"
        assert look.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), (place, width)


def test_every_control_is_reached_with_the_tab_key(shared):
    go(shared, "layer=conv2&output=3,4,5&digit=7&spoil=conv2,2")
    shared.locator("#tryit-pad").focus()
    reached = set()
    for _ in range(70):
        reached.add(shared.evaluate("document.activeElement.id"))
        shared.keyboard.press("Tab")
    controls = shared.locator("#look-app :is(button, select, input, [tabindex]):visible")
    named = {
        handle.get_attribute("id") or ""
        for handle in controls.all()
        if handle.get_attribute("type") != "radio" and handle.is_enabled()
    } - {""}
    assert named <= reached
    assert browser.DIGITS == 100
