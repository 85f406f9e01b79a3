import itertools

import pytest

from lessons_lib import paths
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


def test_the_tree_has_each_of_the_seven_paths_as_one_leaf():
    def leaves(node):
        return [node] if isinstance(node, str) else leaves(node.yes) + leaves(node.no)

    assert sorted(leaves(paths.TREE)) == sorted(paths.PATHS)
    assert len(paths.PATHS) == 7


@pytest.mark.parametrize("answer", [None, 1, "yes", "False"])
def test_an_answer_is_true_or_false(answer):
    with pytest.raises(InputError, match="float16"):
        paths.walk(optimize=True, float16=answer)


def test_an_unknown_path_lists_the_seven():
    with pytest.raises(InputError, match="int16x8"):
        paths.get("int7")


@pytest.mark.parametrize("path", paths.PATHS.values(), ids=lambda path: path.name)
def test_integer_only_paths_have_integer_input_and_output_and_need_calibration(path):
    assert path.integer_only == (path.input_dtype != "float32")
    assert path.input_dtype == path.output_dtype
    assert path.needs_calibration or not path.integer_only
