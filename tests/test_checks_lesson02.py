import numpy as np
import pytest

from lessons_lib import checks

CASES = [
    (checks.check_macs, 470_400, "correct"),
    (checks.check_macs, np.int64(470_400), "correct"),
    (checks.check_macs, "470,400", "correct"),
    (checks.check_macs, 614_400, "not yet"),
    (checks.check_macs, None, "not yet"),
    (checks.check_macs, ..., "not attempted"),
    (checks.check_latency_report, 61, "correct"),
    (checks.check_latency_report, np.median([62, 60, 61, 64, 59, 61, 983]), "correct"),
    (checks.check_latency_report, np.array([61]), "correct"),
    (checks.check_latency_report, 192.9, "not yet"),
    (checks.check_latency_report, 59, "not yet"),
    (checks.check_latency_report, "the median", "not yet"),
    (checks.check_latency_report, ..., "not attempted"),
    (checks.check_read_energy, 320, "correct"),
    (checks.check_read_energy, 320.0, "correct"),
    (checks.check_read_energy, 1280, "not yet"),
    (checks.check_read_energy, 320e6, "not yet"),
    (checks.check_read_energy, [320, 1280], "not yet"),
    (checks.check_read_energy, ..., "not attempted"),
]


@pytest.mark.parametrize(("check", "answer", "state"), CASES)
def test_check(check, answer, state):
    verdict = check(answer)
    assert verdict.state == state
    assert bool(verdict) == (state == "correct")
    assert verdict.number.startswith("2.")
