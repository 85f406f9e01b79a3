"""The eight steps of ``exercises/engine.md``: the course's solution, or a learner's file.

pytest tests/test_my_engine.py --engine my_engine.py -k step_4
"""

import doctest

import numpy as np
import pytest

import engine_cases
from engine_slips import FUNCTIONS, SOLUTION, STEPS, example, judge, opened, written
from reference import converted, digits


@pytest.fixture(scope="session")
def engine(pytestconfig):
    """The learner's engine, or the solution."""
    return opened(pytestconfig.getoption("engine") or SOLUTION)


@pytest.mark.parametrize("step", STEPS, ids="step_{}".format)
def test_the_example(engine, step):
    space = {"np": np} | {name: written(engine, name, in_example=True) for name in STEPS[step]}
    if step == 8:
        space |= {"content": converted()["uint8"], "images": digits().test.images[:5]}
    test = doctest.DocTestParser().get_doctest(example(step), space, f"step {step}", None, None)
    wrong = None
    try:
        doctest.DebugRunner(verbose=False).run(test)
    except doctest.UnexpectedException as error:
        raise error.exc_info[1] from None
    except doctest.DocTestFailure as failure:
        wrong = f"{failure.example.source}gives\n{failure.got}expected\n{failure.example.want}"
    if wrong:
        pytest.fail(f"the example of step {step}:\n{wrong}", pytrace=False)


@pytest.mark.parametrize(
    ("step", "name"), FUNCTIONS, ids=[f"step_{step}-{name}" for step, name in FUNCTIONS]
)
def test_every_case_of_litert(engine, step, name):
    judge(engine, name, lambda: engine_cases.cases(step, name))
