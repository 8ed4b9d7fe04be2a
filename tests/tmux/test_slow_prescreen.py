"""A prescreen worker under a real throttle: a CPU quota of its own, 1 % of a core."""

from pathlib import Path
from typing import Any

import pytest

from state.files import snapshot
from state.files.journal import Journal
from tests.tmux import throttle
from tests.tmux.swarm import Swarm
from WORKFLOW.data.generate import write_demo

_WHY_NOT = throttle.reason_against()
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)
_WORDS = ("--prescreen", "512000", "--trials", "24", "--paths", "50")  # eight shards of seconds each


def usual_speeds(swarm: Swarm) -> list[float]:
    state = snapshot.read_json(swarm.roots.agent_state("worker_sentry"))
    usual = {} if state is None else state["memory"]["pace"]["usual"]
    return [speed for speeds in usual.values() for speed in speeds]


def far_to_go(swarm: Swarm) -> dict[str, Any] | None:
    """The heartbeat of a worker that is in the first half of its shard."""
    return next((one for one in swarm.working("prescreen") if 2 * one["done"] < one["total"]), None)


def incidents(swarm: Swarm, event: str) -> list[dict[str, Any]]:
    records = Journal(swarm.roots.session_events).read().records
    return [r for r in records if r["event"] == event and str(r.get("id")).startswith("prescreen_slow:")]


def test_a_throttled_prescreen_is_found_explained_and_replaced_and_no_other(swarm: Swarm, tmp_path: Path) -> None:
    swarm.environment |= {
        "BACKTEST_OPTIMIZE__SWARM__HANG__PRESCREEN_LEAST_S": "3",
        "BACKTEST_OPTIMIZE__SWARM__HANG__PRESCREEN_SLOW_TIMES": "20",  # a loaded machine is no reason
        "BACKTEST_OPTIMIZE__SWARM__JOBS__SHARD_COMBOS": "64000",
        "BACKTEST_OPTIMIZE__SWARM__LANES__MAX_PER_CORE": "1",
    }
    swarm.launch(write_demo(tmp_path, days=1500, seed=11), *_WORDS)
    swarm.wait("a speed that was measured here", lambda: len(usual_speeds(swarm)) >= 2)
    victim = swarm.wait("one that has far to go", lambda: far_to_go(swarm))
    job = victim["job_id"]
    with throttle.held_to(victim["identity"]["pid"], percent=1):

        def again() -> bool:
            return any(e["event"] == "started" and e["job_id"] == job and e["epoch"] == 2 for e in swarm.journal())

        swarm.wait("a new worker of the slow job", again)
    swarm.wait("its end", lambda: any(e["event"] == "completed" and e["job_id"] == job for e in swarm.journal()))
    opened = incidents(swarm, "incident_opened")
    assert job in [one["id"].partition(":")[2] for one in opened]
    assert f"{job} has computed for " in next(one["what"] for one in opened if one["id"].endswith(job))

    def is_over() -> bool:
        return any(one["id"].endswith(job) for one in incidents(swarm, "incident_closed"))

    swarm.wait("the end of the incident", is_over)
    died = [e for e in swarm.journal() if e["event"] == "died"]
    assert {e["job_id"] for e in died} == {job}, "somebody was ended who was not slow"
    assert {(e["error_message"], e["deaths"]) for e in died} == {("it was asked to end", 0)}
    assert swarm.type("cycle", "curator").returncode == 0
    failures = (swarm.roots.knowledge("").failures).read_text()
    assert "prescreen_slow" in failures
