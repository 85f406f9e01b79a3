"""The checks of lesson 13 accept right answers, refuse wrong ones, and wait for the rest."""

import copy

import pandas as pd
import pytest

from lessons_lib import by_litert, checks, tables, unseen
from lessons_lib.convert.by_litert import Rule
from lessons_lib.course.checks import lesson13
from lessons_lib.system.quiet import quiet
from verdicts import Answers, class_of_tests

with quiet():
    from litert_quantizer import recipe, recipe_manager

GENERAL, LAST = Rule(".*", "int8_per_tensor"), Rule("block3_pointwise", "int8x4_per_tensor")
STEM, DEPTHWISE = Rule("stem", "int8"), Rule("block3_depthwise", "int8_per_tensor")
WIDE = Rule("block3", "int8x4_per_tensor")


def changed(entry, **settings):
    """A recipe of one entry with other settings; None takes one out."""
    entry = copy.deepcopy(entry)
    for name, value in settings.items():
        place = entry if name in entry else entry["op_config"]
        for part in name.split("__")[:-1]:
            place = entry["op_config"][part]
        place[name.split("__")[-1]] = value
    return [entry]


DYNAMIC = lesson13.dynamic_recipe()
STATIC = recipe.static_wi8_ai8()
LEAN = {
    "regex": ".*",
    "operation": "*",
    "algorithm_key": "min_max_uniform_quantize",
    "op_config": {
        "weight_tensor_config": {
            "num_bits": 8,
            "symmetric": True,
            "granularity": "CHANNELWISE",
            "dtype": "INT",
        },
        "compute_precision": "INTEGER",
    },
}


def without_ranges():
    entries = recipe.static_wi8_ai8()
    del entries[0]["op_config"]["activation_tensor_config"]
    return entries


def by_manager():
    manager = recipe_manager.RecipeManager()
    manager.add_dynamic_config(".*", "*", 8)
    return manager.get_quantization_recipe()


def by_kind():
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    return [LEAN | {"operation": kind} for kind in kinds]


WEIGHT_ONLY = recipe.weight_only_wi8_afp32()
NO_QUANTIZE = {"regex": "scores", "operation": "*", "algorithm_key": "no_quantize", "op_config": {}}
OF_BADGE = {"mix_a": "dynamic_int4", "hidden": "weight_only_int8", "scores": "float32"}


def found(path="dynamic_range", **others):
    """The right answer of the open task, with other recipes for some layers; None for no rule."""
    layers = {layer: name for layer, name in (OF_BADGE | others).items() if name}
    return path, [Rule(layer, name) for layer, name in layers.items()]


def smallest_above(board, floor):
    kept = board[board["agreement"] >= floor]
    order = kept.sort_values(["bytes", "agreement"], ascending=[True, False])
    return order.index[0] if len(order) else None


def by_a_loop(board, floor):
    kept = [(row.bytes, -row.agreement, row.Index) for row in board.itertuples()]
    kept = [row for row in kept if -row[1] >= floor]
    return min(kept)[2] if kept else None


def in_a_copy(board, floor):
    table = pd.DataFrame(board)
    table.loc[table["agreement"] < floor, "bytes"] = 10**9
    name = smallest_above(table, 0)
    return name if table["bytes"][name] < 10**9 else None


def smallest_of_all(board, floor):
    return board["bytes"].idxmin()


def best_of_all(board, floor):
    return board["agreement"].idxmax()


def no_thought_of_none(board, floor):
    return smallest_above(board, floor) or board.index[0]


def first_of_equals(board, floor):
    kept = board[board["agreement"] >= floor]
    return kept["bytes"].idxmin() if len(kept) else None


def last_of_equals(board, floor):
    return first_of_equals(board[::-1], floor)


def strictly_above(board, floor):
    return smallest_above(board, floor + 1e-9)


def fails_when_empty(board, floor):
    kept = board[board["agreement"] >= floor]
    return kept.sort_values(["bytes", "agreement"], ascending=[True, False]).index[0]


ANSWERS = {
    checks.check_dynamic_recipe: Answers(
        right={
            "the static one without its ranges": without_ranges(),
            "the library's own": DYNAMIC,
            "the library's, by its manager": by_manager(),
            "a tuple": tuple(DYNAMIC),
            "written out": [LEAN],
            "an entry a kind": by_kind(),
            "another expression that fits all": changed(DYNAMIC[0], regex=""),
            "static first, then all of it dynamic": [*recipe.static_wi8_ai8(), *DYNAMIC],
            "the old rule, down to the smallest": recipe.dynamic_wi8_afp32(),
        },
        wrong={
            "static": (STATIC, "asks for a calibration"),
            "weight-only": (WEIGHT_ONLY, "that is weight-only"),
            "4 bits": (recipe.dynamic_wi4_afp32(), "are INT4"),
            "one scale": (
                changed(DYNAMIC[0], weight_tensor_config__granularity="TENSORWISE"),
                "keep CHANNELWISE",
            ),
            "an expression that fits nothing": (changed(DYNAMIC[0], regex="block"), "nothing"),
            "one layer": (changed(DYNAMIC[0], regex="mix"), "stayed in float"),
            "one kind": (changed(DYNAMIC[0], operation="CONV_2D"), "hidden, scores stayed in fl"),
            "a layer left out": ([*DYNAMIC, NO_QUANTIZE], "scores stayed in float"),
            "large tensors only": (recipe.dynamic_legacy_wi8_afp32(), "stayed in float"),
            "float arithmetic": (changed(DYNAMIC[0], compute_precision="FLOAT"), "nothing"),
            "an unknown algorithm": (changed(DYNAMIC[0], algorithm_key="magic"), "refuses it"),
            "no entry": ([], "refuses it"),
            "a dictionary": (DYNAMIC[0], "asked is a list of entries"),
            "a name": ("dynamic_wi8_afp32", "asked is a list of entries"),
            "the function": (recipe.dynamic_wi8_afp32, "asked is a list of entries"),
            "half an entry": ([{"regex": ".*"}], "The library"),
        },
    ),
    checks.check_found_recipe: Answers(
        right={
            "three rules": found(),
            "a list of two": [*found()],
            "a tuple of rules": ("dynamic_range", tuple(found()[1])),
            "turned round": ("dynamic_range", found()[1][::-1]),
            "another path, all by rules": found(
                "float32", lens="dynamic_range", filter="dynamic_range", mix_b="dynamic_range"
            ),
            "by the operator": (
                "dynamic_range",
                [Rule("mix_a", "dynamic_int4", "CONV_2D"), *found()[1][1:]],
            ),
            "one too many": ("dynamic_range", [Rule("mix_b", "dynamic_range"), *found()[1]]),
            "mended by a later rule": (
                "dynamic_range",
                [Rule("mix", "dynamic_int4"), Rule("mix_b", "dynamic_range"), *found()[1][1:]],
            ),
            "4 bits as the path": found(
                "dynamic_int4", lens="dynamic_range", mix_b="dynamic_range", filter="dynamic_range"
            ),
        },
        wrong={
            "no rules": (("dynamic_range", []), "hidden: in the file"),
            "both mixers": (found(mix="dynamic_int4"), "mix_b: the file has weights of INT8"),
            "hidden on the fly": (found(hidden=None), "hidden: in the file this layer calculates"),
            "scores as int8": (found(scores=None), "scores: the file has weights of FLOAT32"),
            "mix_a unpacked": (found(mix_a="weight_only_int4"), "mix_a: in the file this layer d"),
            "hidden in 4 bits": (found(hidden="weight_only_int4"), "hidden: the file has weights"),
            "weight-only throughout": (found("weight_only_int8"), "does not calculate in float"),
            "static": (found("int8", scores=None, hidden=None, mix_a="int8x4"), "calibrated"),
            "float16": (found("float16", mix_a=None), "FLOAT16"),
            "a misspelt layer": (("dynamic_range", [Rule("mixa", "float32")]), "no operator match"),
            "an unknown path": (("dynamic", found()[1]), "cannot be made"),
            "the path alone": ("dynamic_range", "asked is a pair"),
            "a dictionary of layers": (OF_BADGE, "asked is a pair"),
            "rules by a dictionary": (("dynamic_range", OF_BADGE), "asked is a list of Rule"),
            "a number for a path": ((8, []), "asked is a name"),
        },
    ),
    checks.check_unpack_byte: Answers(
        right={"a tuple": (5, -5), "a list of floats": [5.0, -5.0], "texts": ("5", "-5")},
        wrong={
            "swapped": ((-5, 5), "low four bits"),
            "unsigned": ((5, 11), "the codes are signed"),
            "unsigned and swapped": ((11, 5), "low four bits come first"),
            "a sign and three bits": ((5, -3), "Two's complement"),
            "one": (5, "holds 1 number; 2 are asked"),
            "a set": ({5, -5}, "has no order"),
            "in hexadecimal": (("0x5", "0xB"), "Give the number alone"),
            "a byte": (b"\xb5", ""),
        },
    ),
    checks.check_rules: Answers(
        right={
            "from the general to the special": [GENERAL, LAST, STEM],
            "in another order": [GENERAL, STEM, LAST],
            "a tuple of two": (Rule("block|probabilities", "int8_per_tensor"), LAST),
            "by the operator": [GENERAL, Rule("block3", "int8x4_per_tensor", "CONV_2D"), STEM],
            "mended by another rule": [GENERAL, WIDE, DEPTHWISE, STEM],
            "by looking ahead": [Rule("^(?!.*stem)", "int8_per_tensor"), LAST],
        },
        wrong={
            "the general one last": ([LAST, STEM, GENERAL], "stem gets int8_per_tensor, not int8"),
            "no stem": ([GENERAL, LAST], "stem gets int8_per_tensor, not int8"),
            "a misspelt layer": ([GENERAL, Rule("block_3", "int8"), STEM], "matches no layer"),
            "by a silent skip": ([GENERAL, WIDE, STEM], "block3_depthwise is asked for int8x4"),
            "per-channel": (
                [GENERAL, Rule("block3_pointwise", "int8x4"), STEM],
                "block3_pointwise gets int8x4, not int8x4_per_tensor",
            ),
            "what LiteRT lacks": (
                [Rule("block1_depthwise", "int8x4_per_tensor"), GENERAL, LAST, STEM],
                "LiteRT has no int8x4_per_tensor for block1_depthwise",
            ),
            "a rule": (GENERAL, "a Rule; asked is a list of Rule"),
            "names": (["block3_pointwise"], "a list of 1; asked is a list of Rule"),
            "a text": ("block3", "asked is a list of Rule"),
            "None": (None, "asked is a list of Rule"),
        },
    ),
    checks.check_smallest_above: Answers(
        right={"by sorting": smallest_above, "by a loop": by_a_loop, "in a copy": in_a_copy},
        wrong={
            "the smallest": (smallest_of_all, "it gives 'b', expected 'c'"),
            "the best": (best_of_all, "it gives 'a', expected 'c'"),
            "always one": (no_thought_of_none, "expected None"),
            "the first of equals": (first_of_equals, "it gives 'x', expected 'y'"),
            "the last of equals": (last_of_equals, "it gives 'x', expected 'y'"),
            "strictly above": (strictly_above, "expected 'c'"),
            "fails when empty": (fails_when_empty, "Your function raised IndexError"),
            "a number": (lambda board, floor: 20_000, "asked is a name, or None"),
            "a table": (lambda board, floor: board, "returns a DataFrame"),
            "a name": ("int8", "asked is a function"),
            "one argument": (lambda board: "c", "raised TypeError"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_13_5_hands_over_a_table_of_its_own():
    def spoil(board, floor):
        board["bytes"] = 0

    assert not checks.check_smallest_above(spoil)
    assert checks.check_smallest_above(smallest_above)


def test_the_course_s_own_rules_and_recipe_are_right():
    assert checks.check_rules(lesson13.RULES)
    assert checks.check_dynamic_recipe(lesson13.dynamic_recipe())


def test_13_1_leaves_the_learner_s_recipe_as_it_is():
    entries = without_ranges()
    assert checks.check_dynamic_recipe(entries)
    assert entries == without_ranges()


HELD = {
    "lens": ("INT8", False),
    "filter_a": ("INT8", False),
    "mix_a": ("INT4", False),
    "filter_b": ("INT8", False),
    "mix_b": ("INT8", False),
    "hidden": ("INT8", True),
    "scores": ("FLOAT32", True),
}


@pytest.mark.parametrize(("layer", "held"), HELD.items())
def test_the_unseen_file_hides_a_recipe_a_layer(layer, held):
    content = unseen.path("13_badge.tflite").read_bytes()
    row = lesson13._held(content).loc[layer]
    assert (row["dtype"], row["in_float"]) == held


def test_the_unseen_file_is_what_the_recipe_makes_of_the_float_one():
    small, large = (unseen.path(f"13_badge{end}.tflite") for end in ("", "_float"))
    by_litert.require_floats(large)
    path, rules = found()
    assert by_litert.quantize(large, path, rules=rules) == small.read_bytes()
    assert (tables.operators(small)["operator"] == "DEQUANTIZE").sum() == 1
