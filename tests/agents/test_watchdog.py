"""What the watchdog measures, and over how long."""

import pytest

from agents.model.world import Sample
from agents.roles.watchdog import Memory, decide
from tests.agents.worlds import limits_with, world

CADENCE_S = 15.0


def cpu_pct(window_s: float, idle_s: float, busy_s: float) -> tuple[object, int]:
    """What it reports after a time of idleness and one of full use, of one core; and how many readings it keeps."""
    memory, limits, used_s = Memory(), limits_with(use={"window_s": window_s}), 0.0
    report: object = None
    for cycle in range(int((idle_s + busy_s) / CADENCE_S) + 1):
        second = cycle * CADENCE_S
        used_s += CADENCE_S if second > idle_s else 0.0
        sample = Sample(1, used_s, 8 * 10**9, 10**9, 10**12, ())
        decision = decide(world(now_s=10_000.0 + second, sample=sample), memory, limits)
        memory, report = decision.memory, decision.report.cpu_pct
    return report, len(memory.readings)


@pytest.mark.parametrize(("window_s", "expected"), [(30.0, 100.0), (60.0, 100.0), (120.0, 50.0), (240.0, 25.0)])
def test_use_is_measured_over_the_window_that_is_set(window_s: float, expected: float) -> None:
    assert cpu_pct(window_s, idle_s=600.0, busy_s=60.0)[0] == expected


def test_a_window_of_a_day_keeps_a_short_record() -> None:
    said, kept = cpu_pct(86_400.0, idle_s=43_200.0, busy_s=43_200.0)
    assert said == pytest.approx(50.0, abs=0.2)
    assert kept <= 130
