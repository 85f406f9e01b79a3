"""What broke, why, and the try that mends it: rules as a table, each a row of its own."""

from collections.abc import Sequence

from lessons_lib.advise.trials import Tried


def of_the_source(tried: Sequence[Tried], given, place) -> list[Tried]:
    return []


def of_the_files(tried, base, tasks, place, max_drop, budget) -> list[Tried]:
    return []
