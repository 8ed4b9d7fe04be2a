"""When a prescreen is slow, and that nobody is ended for it without evidence."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.model.world import Worker
from agents.roles.worker_sentry import Memory, decide
from agents.rules import pace as pacing
from agents.rules.pace import Pace
from state.records.screening import Screening
from tests.agents.worlds import LIMITS, job, running, worker, world

DAYS_730 = 730 * 288
SAID = Screening("k", "native", "mtf_ema", DAYS_730, 1, began_at_s=0.0)
MEASURED = Pace(usual={"k": (1e9,) * 3})


def screening(said: Screening = SAID, **values: Any) -> Worker:
    return replace(worker(**({"done": 0, "total": 250_000, "cpu_s": 0.0} | values)), screening=said)


def is_slow(one: Worker, now_s: float, pace: Pace = MEASURED) -> bool:
    assert one.screening is not None
    return pacing.is_slow(one, one.screening, pace, world(now_s=now_s), LIMITS)


def test_the_customers_line_is_thirty_seconds_on_the_baseline_gpu() -> None:
    """250,000 combos over 730 days, which take 4 s there: from 30 s on it is a regression."""
    one = screening(replace(SAID, engine="gpu"))
    assert pacing.expected_s(one, one.screening, Pace()) == pytest.approx(4.0, rel=1e-3)  # type: ignore[arg-type]
    assert not is_slow(one, 30.0, Pace())
    assert is_slow(one, 30.1, Pace())


@pytest.mark.parametrize(
    ("change", "values", "times"),
    [
        ({"bars": 2 * DAYS_730}, {}, 2.0),
        ({}, {"total": 500_000}, 2.0),
        ({"threads": 4}, {}, 0.25),
        ({"began_done": 125_000, "first_done": 125_000}, {"done": 125_000}, 0.5),
    ],
    ids=["bars", "combos", "cores", "what an earlier worker did"],
)
def test_the_bound_grows_with_the_work_and_falls_with_the_cores(
    change: dict[str, Any], values: dict[str, Any], times: float
) -> None:
    bound_s = LIMITS.hang.prescreen_slow_times * 250_000 * DAYS_730 / 1e9 * times
    one = screening(replace(SAID, **change), **values)
    assert not is_slow(one, bound_s - 0.1)
    assert is_slow(one, bound_s + 0.1)


def test_the_speed_that_this_machine_has_shown_moves_the_bound() -> None:
    one = screening()
    fast, slow = Pace(usual={"k": (4e9, 4e9, 1e7)}), Pace(usual={"k": (1e8, 4e9, 1e8)})
    assert is_slow(one, 110.0, fast) and not is_slow(one, 110.0, slow)
    assert not is_slow(one, 110.0, Pace(usual={"another": (4e9,)})), "speeds of another kind count"


def test_what_will_be_slow_is_told_before_it_is_through() -> None:
    one = screening(replace(SAID, first_s=1.0, first_done=1_000), done=4_000)
    assert is_slow(one, 60.0), "in an hour it would be through"
    compiled = screening(replace(SAID, first_s=28.0, first_done=1_000), done=100_000)
    assert not is_slow(compiled, 60.0), "it compiled for 28 s and goes at its usual speed since"


def test_a_slow_job_is_never_what_is_usual() -> None:
    pace = Pace(usual={"k": (1e9,) * 15})
    for _ in range(40):
        said = {"kind": "k", "seconds": 500.0, "bar_combos": 5e10, "speed": 1e8}
        pace = pacing.completed(pace, _through(said), 0.0, LIMITS)
    assert pace.usual_speed("k") == 1e9
    assert [one.cause for one in pace.slow.values()] == ["slower"]


def test_what_is_kept_of_speeds_stays_short() -> None:
    pace = Pace()
    for number in range(200):
        said = {"kind": f"k{number % 60}", "seconds": 5.0, "bar_combos": 5e9, "speed": 1e9}
        pace = pacing.completed(pace, _through(said), 0.0, LIMITS)
    assert len(pace.usual) <= 40
    assert max(map(len, pace.usual.values())) <= 15


def _through(pace: dict[str, Any]) -> Worker:
    from state.records.workers import Result

    one = screening(done=250_000)
    return replace(one, life="dead", result=Result(job().job_id, 1, "completed", "", {"pace": pace}))


@given(
    looks=st.lists(
        st.tuples(st.floats(1.0, 5_000.0), st.integers(0, 2_000), st.floats(0.0, 100.0)), min_size=2, max_size=6
    ),
    control=st.fixed_dictionaries(
        {},
        optional={
            "cpu_pct": st.none() | st.floats(0, 100),
            "throttled_pct": st.none() | st.floats(0, 100),
            "host_starved": st.booleans(),
            "cores": st.none() | st.integers(1, 8),
        },
    ),
    is_measured=st.booleans(),
)
def test_nobody_is_ended_without_a_measured_speed_or_on_a_machine_that_may_be_to_blame(
    looks: list[tuple[float, int, float]], control: dict[str, Any], is_measured: bool
) -> None:
    memory = Memory(pace=MEASURED if is_measured else Pace())
    now_s, done, cpu_s = 0.0, 0, 0.0
    for passed_s, more, cpu in looks:
        now_s, done, cpu_s = now_s + passed_s, done + more, cpu_s + min(cpu, passed_s)
        one = screening(done=done, cpu_s=cpu_s, silent_s=1.0, age_s=min(now_s, 1_700.0))
        found = decide(world(now_s=now_s, jobs=(running(),), workers=(one,), control=control), memory, LIMITS)
        memory = found.memory
        if "end_worker" not in [action.kind for action in found.actions]:
            continue
        used = control.get("cpu_pct")
        assert is_measured and used is not None and used < 80
        assert not control.get("host_starved") and (control.get("throttled_pct") or 0) <= 20
        return
