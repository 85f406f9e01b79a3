"""The table of the paths, the tree that chooses one, and what one more row means for the rest."""

import itertools
import json
import os
import shutil
import subprocess
import sys

import pytest

from lessons_lib import files, paths
from lessons_lib.errors import InputError

KEYS = (
    "optimize",
    "representative_dataset",
    "float16",
    "unsigned",
    "float_io",
    "activations_16_bit",
)


def expected_leaf(a: dict[str, bool]) -> str:
    """The tree as a list of rules, written without looking at the tree's code."""
    if not a["optimize"]:
        return "float32"
    if not a["representative_dataset"]:
        return "float16" if a["float16"] else "dynamic_range"
    if a["float_io"]:
        return "int8_float_fallback"
    if a["activations_16_bit"]:
        return "int16x8"
    return "uint8" if a["unsigned"] else "int8"


@pytest.mark.parametrize("answers", list(itertools.product([False, True], repeat=len(KEYS))))
def test_choose_takes_the_articles_leaf_for_every_combination_of_answers(answers):
    named = dict(zip(KEYS, answers, strict=True))
    assert paths.choose(**named).name == expected_leaf(named)


def test_the_walk_asks_only_what_leads_to_the_leaf():
    steps = paths.walk(optimize=True, representative_dataset=False, float16=True, unsigned=True)
    assert [(s.question.key, s.answer) for s in steps] == [
        ("optimize", True),
        ("representative_dataset", False),
        ("float16", True),
    ]


def test_each_of_the_trees_seven_leaves_is_another_path():
    def leaves(node):
        return [node] if isinstance(node, str) else leaves(node.yes) + leaves(node.no)

    found = leaves(paths.TREE)
    assert len(set(found)) == len(found) == 7
    assert set(found) <= set(paths.PATHS)


@pytest.mark.parametrize("answer", [None, 1, "yes", "False"])
def test_an_answer_is_true_or_false(answer):
    with pytest.raises(InputError, match="float16"):
        paths.walk(optimize=True, float16=answer)


def test_an_unknown_path_lists_them_all():
    with pytest.raises(InputError, match="int16x8"):
        paths.get("int7")


@pytest.mark.parametrize("path", paths.PATHS.values(), ids=lambda path: path.name)
def test_integer_only_paths_have_integer_input_and_output_and_need_calibration(path):
    assert path.integer_only == (path.input_dtype != "float32")
    assert path.input_dtype == path.output_dtype
    assert path.needs_calibration or not path.integer_only


def test_every_path_looks_different_where_paths_are_compared():
    assert len({path.look for path in paths.ALL.values()}) == len(paths.ALL)
    assert len({path.look[0] for path in paths.PATHS.values()}) == len(paths.PATHS)


# ---- one more row

ROW = """
        Path("one_more", "dynamic range once more", ("dynamic_range",), 4, ("#F0E442", "*")),
"""
# In a clone whose table has that row: everything that lists the paths must have it as well.
USED = """
import json, os, sys
import matplotlib
matplotlib.use("agg")
from lessons_lib import browser, cli, data, files, every_path, paths, plots, scoreboard, training
from lessons_lib.judge.benchmark import latency
sys.path.insert(0, str(files.ROOT / "tools"))
import readme, site_texts
assert list(paths.PATHS) == list(paths.ALL)[: len(paths.PATHS)] and "one_more" in browser.PATHS

here = files.artifacts("here")
rows = scoreboard.build(training.reference(), here)
frame = scoreboard.frame(rows)
board = readme.stored() | {"rows": scoreboard.text(rows)}
readme.SCOREBOARD = files.write_atomic(here / "scoreboard.json", json.dumps(board))
board = plots.scoreboard(frame)
board.canvas.draw()
tree = plots.decision_tree(values=readme.tree_texts()["leaves"])
base, again, first = (here / f"files/{n}.tflite" for n in ("float32", "one_more", "dynamic_range"))
litert = every_path.convert(base, None, here / "litert", names=["one_more"])
print(json.dumps({
    "rows": list(frame.index),
    "same": again.read_bytes() == first.read_bytes(),
    "drawn": [label.get_text() for label in board.axes[0].get_yticklabels()],
    "colour": board.axes[0].patches[list(frame.index).index("one_more")].get_facecolor(),
    "leaves": len(tree.findobj(matplotlib.patches.FancyBboxPatch)),
    "front": len(plots.pareto(frame.assign(group=frame.index.str[:3])).axes[0].collections) > 0,
    "by LiteRT": [one.ok for one in litert.values()],
    "readme": readme.filled(readme.README.read_text("utf-8")).count("| one_more |"),
    "site": site_texts.substitutions()["scoreboard"].count("| one_more |"),
}))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The course's folder with a row more in the table of its paths, and nothing else changed."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("README.md", "book", "data", "notebooks", "package-lock.json", "tools"):
        (folder / name).symlink_to(files.ROOT / name)
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(files.ROOT / "lessons_lib", folder / "lessons_lib", ignore=without)
    table = folder / "lessons_lib" / "convert" / "paths.py"
    begin, rest = table.read_text("utf-8").split("    for path in (\n")
    table.write_text(f"{begin}    for path in ({ROW}{rest}", "utf-8")
    return folder


def test_one_more_path_is_one_more_row(clone, artifacts):
    done = subprocess.run(
        [sys.executable, "-c", USED],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    every = ["one_more", *paths.PATHS]
    assert sorted(found["rows"]) == sorted(every) and found["drawn"] == found["rows"]
    assert found["same"] and found["front"]
    assert found["colour"] == [0xF0 / 255, 0xE4 / 255, 0x42 / 255, 1]
    assert found["leaves"] == 2 * len(paths.PATHS) - 1  # no question leads to it
    assert found["by LiteRT"] == [True]
    assert (found["readme"], found["site"]) == (1, 1)
