"""A calm controller: whatever the load does, at most one change a window, never over the cap, at target soon."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.model.world import Lane
from agents.roles.util_controller import Memory, decide
from tests.agents.worlds import LIMITS, job, state, worker, world

CADENCE_S = 20.0
QUEUE = tuple(state(job("prescreen", symbol)) for symbol in ("SOL", "BTC", "ETH", "XRP", "ADA", "DOT"))


def at(second: float, lanes: int, cap: int, cpu_pct: float | None, workers: int) -> Any:
    running = tuple(worker(job("prescreen", shard=i), lane=f"cpu{i}", age_s=100.0) for i in range(workers))
    return world(
        now_s=10_000.0 + second,
        lanes=tuple(Lane(f"cpu{i}", 1) for i in range(lanes)),
        lane_cap=cap,
        jobs=QUEUE,
        workers=running,
        control={"cpu_pct": cpu_pct, "cores": 8},
    )


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=10, max_size=60), st.integers(1, 12), st.data())
def test_one_change_a_window_and_never_over_the_cap(loads: list[float | None], cap: int, data: Any) -> None:
    memory, lanes, changes = Memory(), min(2, cap), []
    for number, cpu_pct in enumerate(loads):
        workers = data.draw(st.integers(0, lanes))
        decision = decide(at(number * CADENCE_S, lanes, cap, cpu_pct, workers), memory, LIMITS)
        wanted = decision.report.lanes
        assert isinstance(wanted, int)
        if wanted != lanes:
            changes.append(number * CADENCE_S)
        assert 1 <= wanted <= max(cap, lanes)
        assert abs(wanted - lanes) <= 1
        memory, lanes = decision.memory, wanted
    gaps = [later - earlier for earlier, later in pairwise(changes)]
    assert all(gap >= LIMITS.use.window_s for gap in gaps)


def test_a_machine_that_waits_for_its_disk_is_at_target_within_five_windows() -> None:
    """Each lane keeps 30 % of two cores busy: three of them are wanted, and not a fourth."""
    memory, lanes, history = Memory(), 1, []
    for number in range(30):
        cpu_pct = min(100.0, 30.0 * lanes)
        decision = decide(at(number * CADENCE_S, lanes, 8, cpu_pct, lanes), memory, LIMITS)
        memory, lanes = decision.memory, decision.report.lanes
        history.append(lanes)
    assert history[15] == 3
    assert history[-1] == 3


def test_an_oscillating_load_moves_the_lanes_no_oftener_than_a_window() -> None:
    memory, lanes, changes = Memory(), 4, 0
    for number in range(100):
        decision = decide(at(number * CADENCE_S, lanes, 6, 20.0 if number % 2 else 100.0, lanes), memory, LIMITS)
        changes += decision.report.lanes != lanes
        memory, lanes = decision.memory, decision.report.lanes
    assert changes <= 100 * CADENCE_S / LIMITS.use.window_s
    assert lanes <= 6


def test_another_boot_starts_from_what_is_there() -> None:
    old = Memory(boot_id="another", lanes=7, changed_at_s=1e9)
    assert decide(at(0, 2, 8, 90.0, 2), old, LIMITS).report.lanes == 2


def test_memory_that_ran_out_keeps_its_lesson_through_a_restart_of_the_controller() -> None:
    first = decide(at(0, 3, 8, 90.0, 3), Memory(), LIMITS)
    struck = replace(at(100, 3, 8, 90.0, 3), jobs=(replace(QUEUE[0], ooms=1), *QUEUE[1:]))
    second = decide(struck, first.memory, LIMITS)
    assert (second.report.lanes, second.report.cap) == (2, 2)
    third = decide(replace(struck, now_s=struck.now_s + 500), second.memory, LIMITS)
    assert (third.report.lanes, third.report.cap) == (2, 2)
