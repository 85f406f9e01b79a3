"""What a firmware engineer gets: a model's C file, a test that runs anywhere, and a Makefile.

The test has ten inputs with the outputs that TFLite-Micro gives for them, by ``integer_engine``,
so that a wrong compiler flag, or a file that was edited, is found on the first run.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lessons_lib.errors import InputError
from lessons_lib.run.engine import integer_engine
from lessons_lib.run.engine.integer_graph import Graph
from lessons_lib.system import files
from lessons_lib.targets.c_calls import array
from lessons_lib.targets.c_source import MARK, End, Program, c_source, load
from lessons_lib.tflite import samples, signature
from lessons_lib.tflite.samples import Rows

VECTORS = 10
_CANDIDATES = 200
_FILES = ("main", "test_vectors", "makefile", "gnumakefile")  # make would make its own file


def export(
    model: str | os.PathLike | bytes,
    directory: str | os.PathLike,
    name: str = "model",
    x: Rows | np.ndarray | None = None,
) -> Path:
    """Write ``name.c``, ``name.h``, ``test_vectors.h``, ``main.c`` and a ``Makefile``.

    ``model``, ``name`` and what is refused: see ``c_source.c_source``. ``x``: the inputs to test
    with, codes (N, ...), of which the first ``VECTORS`` are taken; without them random ones whose
    answers tell most. Returns the directory, which is made if it is missing. Files of these names
    are replaced where an earlier export wrote them; raises InputError where somebody else did, or
    ``name`` is that of another file, before anything is written, and StorageError when the
    directory cannot be written.
    """
    directory = Path(directory)
    if name.lower() in _FILES:  # on some disks capitals are no others
        raise InputError(f"name={name!r}: a file beside the model's has that name, take another")
    program = c_source(model, name)
    given = _telling(program, model) if x is None else samples.rows(x, signature.of_file(model))
    given = {end: rows[:VECTORS] for end, rows in given.items()}
    outputs = integer_engine.run(model, given, "tflm")
    (first, *others) = [end for end in program.ends if not end.is_input]
    expected = outputs if others else {first.of: outputs}
    written = {
        f"{name}.h": program.header,
        f"{name}.c": program.source,
        "test_vectors.h": _vectors(program, given | expected),
        "main.c": _main(program, len(next(iter(given.values())))),
        "Makefile": _MAKEFILE.format(name=name),
    }
    _require_own(directory, written)
    for file, content in written.items():
        files.write_atomic(directory / file, content)
    return directory


def _telling(program: Program, model) -> Rows:
    """Random codes whose answers tell most: the least of their codes lie at an end of the type.

    Most models are sure of most noise, and a sure answer hides a wrong sum: its codes are clipped.
    """
    random, drawn, graph = np.random.default_rng(0), {}, load(model)
    for end in (end for end in program.ends if end.is_input):
        least, most = _range(end, graph)
        shape = (_CANDIDATES, *end.tensor.shape[1:])
        ones = (1,) * (len(shape) - 1)
        middle = random.uniform(least, most, (_CANDIDATES, *ones))
        spread = random.uniform(0, most - least, (_CANDIDATES, *ones))
        values = middle + spread * random.uniform(-0.5, 0.5, shape)
        drawn[end.of] = values.round().clip(least, most).astype(end.tensor.dtype)
    answers = integer_engine.run(model, drawn, "tflm")
    answers = list(answers.values()) if isinstance(answers, dict) else [answers]
    clipped = sum(
        np.isin(a, (np.iinfo(a.dtype).min, np.iinfo(a.dtype).max)).reshape(len(a), -1).mean(axis=1)
        for a in answers
    )
    best = np.argsort(clipped, kind="stable")[:VECTORS]
    return {name: rows[best] for name, rows in drawn.items()}


def _range(end: End, graph: Graph) -> tuple[int, int]:
    """The least and the largest number that an input may be; tokens are places of a table."""
    if end.tensor.dtype.itemsize == 1:
        limits = np.iinfo(end.tensor.dtype)
        return limits.min, limits.max
    tables = [
        op.input.shape[op.options.axis]
        for op in graph.operators
        if op.name == "GATHER" and op.inputs[1].index == end.tensor.index
    ]
    return 0, min(tables, default=2) - 1


def _require_own(directory: Path, written: dict[str, str]) -> None:
    there = [path for file in written if os.path.exists(path := directory / file)]
    foreign = [
        path.name
        for path in there
        if not (path.is_file() and os.access(path, os.R_OK) and MARK.encode() in path.read_bytes())
    ]
    if foreign:
        raise InputError(
            f"{directory} has files that no export wrote: {', '.join(foreign)}. They would be "
            "replaced: give another folder"
        )


def _vectors(program: Program, values: Rows) -> str:
    arrays = (array(f"{end.name}_of_test", values[end.of], end.element) for end in program.ends)
    return f"/* {MARK}: inputs, and TFLite-Micro's outputs for them. */\n" + "\n".join(arrays)


def _main(program: Program, count: int) -> str:
    return _MAIN.format(
        mark=MARK,
        name=program.name,
        reset=f"    {program.reset}();\n" if program.reset else "",
        count=count,
        results="\n".join(
            f"  {end.element} {end.name}_here[{end.size}];"
            for end in program.ends
            if not end.is_input
        ),
        arguments=", ".join(
            f"{end.name}_of_test + {end.size} * i" if end.is_input else f"{end.name}_here"
            for end in program.ends
        ),
        compared="\n".join(_comparisons(program)),
    )


def _comparisons(program: Program) -> Iterator[str]:
    for end in program.ends:
        if not end.is_input:
            yield (
                f"    equal &= !memcmp({end.name}_here, {end.name}_of_test + {end.size} * i, "
                f"{end.bytes});"
            )


_MAIN = """/* {mark}: does the model here what it does there? */
#include <stdio.h>
#include <string.h>

#include "{name}.h"
#include "test_vectors.h"

int main(void) {{
{results}
  int right = 0;
  for (int i = 0; i < {count}; i++) {{
    int equal = 1;
{reset}    {name}_invoke({arguments});
{compared}
    right += equal;
  }}
  printf("%d of {count} test vectors are equal\\n", right);
  return right != {count};
}}
"""

_MAKEFILE = """# {mark}.
# `make` runs the test on this computer. For a board: CC=arm-none-eabi-gcc, the board's flags, and
# {name}.c with {name}.h alone; -DNDEBUG changes nothing. On a Cortex-M4 or M7 the flags
# -mcpu=cortex-m4 or -mcpu=cortex-m7 switch on the instructions that multiply two pairs at once.
CC ?= cc
CFLAGS ?= -O2 -std=c99 -Wall -Wextra

test: {name}_test
\t./{name}_test

{name}_test: main.c {name}.c {name}.h test_vectors.h
\t$(CC) $(CFLAGS) -o $@ main.c {name}.c

{name}.o: {name}.c {name}.h
\t$(CC) $(CFLAGS) -c -o $@ {name}.c

size: {name}.o  # code and constants, and what is static
\tsize {name}.o

clean:
\trm -f {name}_test {name}.o

.PHONY: test size clean
""".replace("{mark}", MARK)
