"""A submission put back into the shape of what was released, cell by cell, by their ids.

nbgrader keeps what it knows of a cell in the cell's metadata, and gives up on a notebook, or on an
answer in it, when a learner's editor deleted, copied, retyped or moved such a cell. Here the
released notebook says which cells there are and in which order; the submission says what stands in
them. Nothing that a learner wrote is dropped: what has no place of its own stays as an added cell.
"""

import bisect
import copy
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nbformat import NotebookNode

_CHECK = re.compile(r"\bchecks\.(check_\w+)\(")
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class Mend:
    """What was done about one released cell; where it is not ``settled``, a teacher should look."""

    cell: str
    text: str
    settled: bool = True

    def __str__(self) -> str:
        return f"{self.cell}: {self.text}"


def restored(submission: NotebookNode, released: NotebookNode) -> tuple[NotebookNode, list[Mend]]:
    """Return the submission with every released cell once and in order, and what was done for it.

    A released cell is recognized by its id, else by nbgrader's name for it, else by its text, and
    an answer at last by the check that it calls. Of several copies of an answer the last one that
    was changed counts. Cells that were added stay behind the cell that they stood behind. The cells
    that nbgrader locks get their released text again. Neither notebook is changed, and what was
    restored once is not changed by a second call.
    """
    cells = [_clean(cell) for cell in submission.get("cells", [])]
    claims = _claims(cells, released.cells)
    chosen = {cell.id: _chosen(cells, claims, cell) for cell in released.cells}
    mends = _moved(released.cells, chosen)
    behind = _added(cells, claims, chosen, released.cells, mends)
    result = copy.deepcopy(released)
    result.cells = behind.pop(None)
    for cell in released.cells:
        place = chosen[cell.id]
        result.cells += _in_place(None if place is None else cells[place], cell, mends)
        result.cells += behind[cell.id]
    _name_added(result.cells)
    return result, mends


def _role(cell: NotebookNode) -> str:
    """The cell's part in grading: "answer", "locked" (a test, a task's text) or "given"."""
    known = cell.metadata.get("nbgrader", {})
    if known.get("solution"):
        return "answer"
    return "locked" if known.get("grade") or known.get("locked") else "given"


def _clean(cell: NotebookNode) -> NotebookNode:
    """A copy that has what every cell of its type has."""
    cell = copy.deepcopy(cell)
    source = cell.get("source", "")
    cell.source = "".join(source) if isinstance(source, list) else str(source)
    if not isinstance(cell.get("metadata"), dict):
        cell.metadata = NotebookNode()
    kind = cell.get("cell_type")
    return _retyped(cell, kind if kind in ("code", "markdown", "raw") else "raw")


def _retyped(cell: NotebookNode, kind: str) -> NotebookNode:
    cell.cell_type = kind
    if kind == "code":
        cell.setdefault("outputs", [])
        cell.setdefault("execution_count", None)
        cell.pop("attachments", None)
    else:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)
    return cell


def _claims(cells: Sequence[NotebookNode], released: Sequence[NotebookNode]) -> list[str | None]:
    """For each cell of a submission the id of the released cell that it is, or is a copy of."""
    names = {cell.id for cell in released}
    claims = [next((name for name in _names(cell) if name in names), None) for cell in cells]
    for same in (_same_text, _same_check):
        for original in (cell for cell in released if cell.id not in claims):
            for place, cell in enumerate(cells):
                if claims[place] is None and same(cell, original):
                    claims[place] = original.id
                    if same is _same_text:
                        break
    return claims


def _names(cell: NotebookNode) -> list[object]:
    """The ids that a cell may have been given: its own, nbgrader's, that of Colab."""
    grader = cell.metadata.get("nbgrader")
    named = grader.get("grade_id") if isinstance(grader, dict) else None
    return [n for n in (cell.get("id"), named, cell.metadata.get("id")) if isinstance(n, str)]


def _same_text(cell: NotebookNode, original: NotebookNode) -> bool:
    return bool(cell.source.strip()) and cell.source.strip() == original.source.strip()


def _same_check(cell: NotebookNode, original: NotebookNode) -> bool:
    asked = set(_CHECK.findall(original.source))
    return _role(original) == "answer" and bool(asked & set(_CHECK.findall(cell.source)))


def _chosen(
    cells: Sequence[NotebookNode], claims: Sequence[str | None], original: NotebookNode
) -> int | None:
    """The place of the cell that counts: the last that was changed, of an answer; else the first.

    None where the submission has no such cell.
    """
    places = [place for place, name in enumerate(claims) if name == original.id]
    changed = [place for place in places if not _same_text(cells[place], original)]
    if _role(original) == "answer" and changed:
        return changed[-1]
    unchanged = [place for place in places if place not in changed]
    return next(iter(unchanged or places), None)


def _moved(released: Sequence[NotebookNode], chosen: dict[str, int | None]) -> list[Mend]:
    """Say which cells had left the order in which most of them still stand."""
    found = [(chosen[cell.id], cell.id) for cell in released if chosen[cell.id] is not None]
    in_order = _longest_rise([place for place, _ in found])
    text = "stood elsewhere, is in its place again"
    return [Mend(name, text) for place, name in found if place not in in_order]


def _longest_rise(places: Iterable[int]) -> set[int]:
    """The members of a longest increasing subsequence."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for place in places:
        spot = bisect.bisect_left(ends, place)
        before[place] = ends[spot - 1] if spot else None
        ends[spot : spot + 1] = [place]
    rise, place = set(), ends[-1] if ends else None
    while place is not None:
        rise.add(place)
        place = before[place]
    return rise


def _added(
    cells: Sequence[NotebookNode],
    claims: Sequence[str | None],
    chosen: dict[str, int | None],
    released: Sequence[NotebookNode],
    mends: list[Mend],
) -> dict[str | None, list[NotebookNode]]:
    """The cells without a place of their own, by the id of the released cell before them."""
    originals = {cell.id: cell for cell in released}
    behind = {None: [], **{name: [] for name in originals}}
    anchor = None
    for place, (cell, name) in enumerate(zip(cells, claims, strict=True)):
        if name is not None and chosen[name] == place:
            anchor = name
        elif name is None:
            behind[anchor].append(_as_added(cell))
        elif _same_text(cell, originals[name]) or _same_text(cell, cells[chosen[name]]):
            mends.append(Mend(name, "a copy of it was left out"))
        else:
            answer = _role(originals[name]) == "answer"
            counts = "answered more than once, the last one counts" if answer else "was copied"
            mends.append(Mend(name, f"{counts}; this copy stays as an added cell", not answer))
            behind[anchor].append(_as_added(cell, name))
    return behind


def _as_added(cell: NotebookNode, name: str | None = None) -> NotebookNode:
    """A copy of a cell that nbgrader does not take for its own, nor we for the one of this name."""
    cell = copy.deepcopy(cell)
    if cell.get("id") == name:
        cell.pop("id", None)
    cell.metadata.pop("nbgrader", None)
    return cell


def _in_place(
    found: NotebookNode | None, original: NotebookNode, mends: list[Mend]
) -> list[NotebookNode]:
    """The released cell as the submission has it, behind what else was written in a locked one."""
    role, cells = _role(original), []
    if found is None:
        lost = role == "answer"
        text = "the answer is missing; the blank was put back" if lost else "was put back"
        mends.append(Mend(original.id, text, settled=not lost))
        return [copy.deepcopy(original)]
    if found.cell_type != original.cell_type:
        mends.append(Mend(original.id, f"was a {found.cell_type} cell, is {original.cell_type}"))
    changed = not _same_text(found, original)
    if role == "locked" and changed:
        if found.source.strip():
            cells.append(_as_added(found, original.id))
        mends.append(Mend(original.id, "is locked: its text was put back, yours stands before it"))
    elif role == "given" and changed and original.cell_type == "code":
        mends.append(
            Mend(original.id, "is given code that was changed; it stays as it was handed in")
        )
    cell = _retyped(copy.deepcopy(found), original.cell_type)
    cell.id, cell.metadata = original.id, copy.deepcopy(original.metadata)
    if role == "locked":
        cell.source = original.source
    return [*cells, cell]


def _name_added(cells: Sequence[NotebookNode]) -> None:
    """Give each cell without an id, or with one that another cell before it has, a new one."""
    taken = {cell.get("id") for cell in cells if isinstance(cell.get("id"), str)}
    numbers = (f"added-{number}" for number in itertools.count(1))
    free = (name for name in numbers if name not in taken)
    seen = set()
    for cell in cells:
        name = cell.get("id")
        if not isinstance(name, str) or not _ID.fullmatch(name) or name in seen:
            cell.id = next(free)
        seen.add(cell.id)
