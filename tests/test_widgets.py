"""The HTML widgets: their text, their arithmetic, their behaviour in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from lessons_lib import affine, widgets
from lessons_lib.course.widgets import style
from lessons_lib.errors import InputError

VALUES = [-1.0, -0.42, -0.05, 0.0, 0.13, 0.5, 0.77, 1.6]
QUESTIONS = [
    widgets.Question("Which `zero_point`?", ["`-128`", "`0` < 1"], 1, "Symmetric: 0 is 0."),
    widgets.Question("How small is float16?", ["Half", "A quarter", "Equal"], 0, "Two bytes."),
]
SIZE = widgets.predict("04.1", "How many `bytes`?", ["As many", "Half", "<b>Fewer</b>"])
SPEED = widgets.predict("04.2", "How fast?", ["As fast", "Faster"])
PREDICTIONS = {
    "prediction": SIZE._repr_html_,
    "outcome": lambda: SIZE.outcome(1).data,
    "tally": lambda: widgets.tally(SIZE, SPEED).data,
}
WIDGETS = {
    "slider": lambda: widgets.affine_slider(VALUES).data,
    "quiz": lambda: widgets.quiz(QUESTIONS).data,
}


class Page(HTMLParser):
    """Elements with their ancestors; refuses a closing tag that closes something else."""

    VOID = frozenset({"input", "br", "meta", "rect", "line", "circle"})

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.cells, self.text = [], [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), list(self.open)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), list(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data
        elif not {"script", "style"} & set(self.open):
            self.text.append(data)

    def rows(self, columns=5):
        return np.array(self.cells).reshape(-1, columns)[1:]


ALL = WIDGETS | PREDICTIONS


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
class TestEveryWidget:
    def test_the_html_is_well_formed_and_every_input_has_a_label(self, make):
        inputs = [parents for tag, _, parents in Page(make()).elements if tag == "input"]
        assert inputs or make in (PREDICTIONS["outcome"], PREDICTIONS["tally"])
        assert all("label" in parents for parents in inputs)

    def test_ids_are_unique_even_twice_in_a_page(self, make):
        ids = [a["id"] for _, a, _ in Page(make() + make()).elements if "id" in a]
        assert len(ids) == len(set(ids))

    def test_the_same_arguments_give_the_same_text(self, make):
        assert make() == make()

    def test_nothing_is_loaded_from_elsewhere(self, make):
        assert not re.search(r"https?:|//[a-z]|\bimport\b|\bfetch\b|url\(", make())


@pytest.mark.parametrize("make", WIDGETS.values(), ids=WIDGETS)
class TestWidgetsWithControls:
    def test_controls_that_need_the_script_are_hidden_without_it(self, make):
        buttons = [
            (attributes, parents)
            for tag, attributes, parents in Page(make()).elements
            if tag == "button"
        ]
        assert buttons
        hidden_box = '<div class="controls" hidden>' in make()
        assert all("hidden" in attributes or hidden_box for attributes, _ in buttons)

    def test_jupyterlab_hears_no_key_but_those_that_run_a_cell(self, make):
        """And changes are announced. (``tests/browser/test_jupyterlab.py`` presses keys.)"""
        assert 'addEventListener("keydown", keepKeys)' in make()
        assert style.KEYS in make()
        assert 'role="status"' in make()


# --- slider ----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_bits", [2, 3, 8])
def test_the_static_table_is_affine_quantize(num_bits):
    x = np.array(VALUES, dtype=np.float32)
    scale, zero_point = affine.scale_zero_point(x.min(), x.max(), num_bits)
    codes = affine.quantize(x, scale, zero_point, num_bits)
    back = affine.dequantize(codes, scale, zero_point)
    page = Page(widgets.affine_slider(VALUES, num_bits).data)
    assert page.rows()[:, 0].tolist() == [str(value) for value in x]
    assert page.rows()[:, 1].astype(int).tolist() == codes.tolist()
    np.testing.assert_allclose(page.rows()[:, 2].astype(float), back, atol=scale / 100)
    np.testing.assert_allclose(page.rows()[:, 3].astype(float), back - x, atol=scale / 100)


def test_a_value_that_saturates_is_marked_before_any_script_runs():
    # scale 1.0: -1.5 rounds away to -2, and zero_point -0.5 to -1; their sum -3 is below -2
    rows = Page(widgets.affine_slider([-1.5, 1.5], num_bits=2).data).rows()
    assert rows[:, 1].tolist() == ["-2", "1"]
    assert rows[:, 4].tolist() == ["clipped", ""]


@pytest.mark.parametrize(
    "values", [[], [0.0] * 9, [[1.0]], [float("nan")], [float("inf")], [1e39], ["a"], 1.0]
)
def test_the_slider_refuses_what_it_cannot_show(values):
    with pytest.raises(InputError, match="lesson 03"):
        widgets.affine_slider(values)


@pytest.mark.parametrize("num_bits", [1, 9, 2.5])
def test_the_slider_refuses_other_bit_widths(num_bits):
    with pytest.raises(InputError, match="num_bits"):
        widgets.affine_slider(VALUES, num_bits)


@pytest.mark.parametrize("values", [[0.0], [1e-12, -3e-13], [3e6, 1e7]])
def test_the_slider_takes_any_magnitude(values):
    rows = Page(widgets.affine_slider(values).data).rows()
    np.testing.assert_allclose(rows[:, 2].astype(float), values, rtol=0.02)


def script_of(text):
    return re.search(r"<script>(.*)</script>", text, re.S).group(1)


def cases():
    """Random values, exact ties, and values far outside the range, at several bit widths."""
    rng = np.random.default_rng(0)
    for num_bits in (2, 4, 8):
        qmin, qmax = affine.integer_range(num_bits)
        for scale in (0.25, 0.1, float(np.float32(rng.uniform(1e-4, 3)))):
            x = np.concatenate(
                [rng.normal(0, 40 * scale, 40), (np.arange(-10, 10) + 0.5) * scale, [0, 1e6, -1e6]]
            )
            zero_point = int(rng.integers(qmin, qmax + 1))
            yield from ((float(v), scale, zero_point, num_bits) for v in np.float32(x))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run the widget's script")
def test_the_scripts_arithmetic_is_affine_quantize_bit_for_bit():
    arithmetic = script_of(widgets.affine_slider(VALUES).data).partition("function start")[0]
    arithmetic = arithmetic.removeprefix("(() => {")
    rows = [[x, s, z, *affine.integer_range(bits)] for x, s, z, bits in cases()]
    program = (
        f"{arithmetic}\nconst rows = {json.dumps(rows)};\n"
        "const answers = rows.map(([x, s, z, qmin, qmax]) => {"
        "const { code, clipped } = quantize(x, s, z, qmin, qmax);"
        "return [code, dequantize(code, s, z), clipped]; });"
        "console.log(JSON.stringify(answers));"
    )
    done = subprocess.run(
        ["node", "-"], input=program, capture_output=True, text=True, timeout=600, check=True
    )
    answers = json.loads(done.stdout)
    assert len(answers) == len(rows) > 500
    assert {clipped for _, _, clipped in answers} == {True, False}
    for (x, scale, zero_point, bits), (code, real, clipped) in zip(cases(), answers, strict=True):
        expected = affine.quantize(np.float32(x), scale, zero_point, bits)
        assert code == expected, (x, scale, zero_point, bits)
        assert real == affine.dequantize(expected, scale, zero_point)
        wide = affine.round_half_away(np.float32(x) / np.float32(scale)) + zero_point
        assert clipped == (wide != expected)


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def rendered(tmp_path, body):
    """The page's HTML after its scripts ran in a real browser."""
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{body}</body>", encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    folder = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [*command, folder, page.as_uri()], capture_output=True, text=True, timeout=600, check=True
    )
    return done.stdout


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_moving_the_sliders_of_one_of_two_copies(tmp_path):
    slider = widgets.affine_slider(VALUES).data
    move = """<script>
    const [scale, zero] = document.querySelectorAll(".lesson-slider")[1].querySelectorAll("input");
    scale.value = -16; zero.value = 20;
    zero.dispatchEvent(new Event("input", { bubbles: true }));
    </script>"""
    first, second = rendered(tmp_path, slider + slider + move).split("</table>")[:2]
    untouched = re.findall(r"<td[^>]*>([^<]*)</td>", slider)
    assert re.findall(r"<td[^>]*>([^<]*)</td>", first) == untouched
    x = np.array(VALUES, dtype=np.float32)
    scale = np.float32(np.float32(affine.scale_zero_point(x.min(), x.max())[0]) / 2)
    codes = affine.quantize(x, scale, 20)
    cells = np.array(re.findall(r"<td[^>]*>([^<]*)</td>", second)).reshape(-1, 4)
    assert cells[:, 0].astype(int).tolist() == codes.tolist()
    clipped = affine.round_half_away(x / scale) + 20 != codes
    assert cells[:, 3].tolist() == np.where(clipped, "clipped", "").tolist()


# --- quiz ------------------------------------------------------------------------------------


def test_without_scripts_the_answers_are_there_to_read():
    text = " ".join(" ".join(Page(widgets.quiz(QUESTIONS).data).text).split())
    assert "Which zero_point ?" in text
    assert "Answers 0 < 1 : Symmetric: 0 is 0. Half : Two bytes." in text


def test_texts_are_escaped_and_backticks_are_code():
    text = widgets.quiz([widgets.Question("Is `a<b` & c?", ["yes", "<b>no</b>"], 0, "So.")]).data
    assert "Is <code>a&lt;b</code> &amp; c?" in text
    assert "&lt;b&gt;no&lt;/b&gt;" in text


def test_each_question_has_its_own_radio_group():
    names = re.findall(r'name="([^"]+)"', widgets.quiz(QUESTIONS).data)
    assert [names.count(name) for name in dict.fromkeys(names)] == [2, 3]
    other = widgets.quiz(QUESTIONS[:1]).data
    assert not set(names) & set(re.findall(r'name="([^"]+)"', other))


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_two_copies_of_a_quiz_answer_for_themselves(tmp_path):
    quiz = widgets.quiz(QUESTIONS).data
    answer = """<script>
    const asked = document.querySelectorAll(".lesson-quiz fieldset");
    const choose = (i, option) => {
      asked[i].querySelectorAll("input")[option].click();
      asked[i].querySelector("button").click();
    };
    choose(0, 1);
    choose(1, 1);
    choose(2, 0);
    choose(2, 0);
    asked[3].querySelector("button").click();
    const chosen = document.querySelectorAll("input:checked").length;
    document.body.append(`chosen: ${chosen}`);
    </script>"""
    page = rendered(tmp_path, quiz + quiz + answer)
    said = re.findall(r'<p class="feedback[^>]*>(.*?)</p>', page)
    assert said[0] == "✓ Correct. Symmetric: 0 is 0."
    assert said[1] == "✗ Not yet: it is not “A quarter”. Choose another answer."
    assert said[2] == ("✗ Not yet: it is not “<code>-128</code>”. A hint: Symmetric: 0 is 0.")
    assert said[3] == "Choose an answer first."
    assert "chosen: 3" in page.split("</script>")[-1]


@pytest.mark.parametrize(
    ("text", "options", "correct", "why"),
    [
        ("", ["a", "b"], 0, "w"),
        ("t", ["a", "b"], 0, " "),
        ("t", ["a", 1], 0, "w"),
        ("t", ["a"], 0, "w"),
        ("t", ["a", "a"], 0, "w"),
        ("t", list("abcdefg"), 0, "w"),
        ("t", ["a", "b"], 2, "w"),
        ("t", ["a", "b"], -1, "w"),
        ("t", ["a", "b"], True, "w"),
    ],
)
def test_a_badly_made_question_is_refused(text, options, correct, why):
    with pytest.raises(InputError):
        widgets.Question(text, options, correct, why)


@pytest.mark.parametrize("questions", [[], ["Which?"]])
def test_a_quiz_needs_questions(questions):
    with pytest.raises(InputError, match=r"widgets\.Question"):
        widgets.quiz(questions)


# --- predictions: what they do in a browser stands in browser/test_predictions.py --------------


def plain(html):
    return " ".join(" ".join(Page(html).text).split())


def test_without_scripts_question_answer_and_tally_are_there_to_read():
    asked = plain(SIZE._repr_html_())
    assert asked.startswith("Prediction 04.1. How many bytes ? A. As many B. Half C. <b>Fewer</b>")
    assert plain(SIZE.outcome(2).data) == "Prediction 04.1: it is C. <b>Fewer</b>"
    assert plain(widgets.tally(SIZE, SPEED).data).endswith("2 were asked in this lesson.")


def test_without_scripts_no_button_pretends_to_work():
    inputs = [a for tag, a, _ in Page(SIZE._repr_html_()).elements if tag == "input"]
    assert len(inputs) == 3
    assert all("hidden" in attributes for attributes in inputs)


def test_a_question_that_is_asked_anew_has_no_old_answer():
    again = widgets.predict("04.1", "How many `bytes`?", ["As many", "Half", "<b>Fewer</b>"])
    other = widgets.predict("04.1", "How many bytes?", ["As many", "Half", "<b>Fewer</b>"])
    assert again.key == SIZE.key != other.key
    assert all(question.key.startswith("04.1-") for question in (again, other))


@pytest.mark.parametrize(
    ("number", "question", "options"),
    [
        ("4.1", "How?", ["a", "b"]),
        ("04", "How?", ["a", "b"]),
        ("04.1", " ", ["a", "b"]),
        ("04.1", "How?", ["a"]),
        ("04.1", "How?", ["a", "a"]),
        ("04.1", "How?", ["a", 1]),
        ("04.1", "How?", list("abcdefg")),
    ],
)
def test_a_badly_made_prediction_is_refused(number, question, options):
    with pytest.raises(InputError, match="prediction"):
        widgets.predict(number, question, options)


@pytest.mark.parametrize("index", [np.int64(2), 2, np.argmax([0, 0, 1])])
def test_an_outcome_is_an_index(index):
    assert 'data-correct="2"' in SIZE.outcome(index).data


@pytest.mark.parametrize("index", [3, -1, True, None, 1.5, "B"])
def test_an_outcome_that_is_no_index_is_refused(index):
    with pytest.raises(InputError, match=r"prediction 04\.1 is an index from 0 to 2"):
        SIZE.outcome(index)


@pytest.mark.parametrize("given", [[], ["04.1"], [SIZE, None]])
def test_a_tally_needs_predictions(given):
    with pytest.raises(InputError, match=r"as widgets\.predict made"):
        widgets.tally(*given)
