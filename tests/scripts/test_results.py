"""`results`, and what is said of a run whose symbols and modes failed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.roles import auto_scheduler
from agents.roles import session_state_manager as continuity
from scripts.swarm import handoff, results, show, status
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.files.tree import tree_of
from state.host.clock import SystemClock
from state.records import orders
from state.records.jobs import JobState
from state.records.timeline import Timeline
from tests.agents.worlds import LIMITS, ORDER, job, running, state, world

WHY = "20.0 days of bars are fewer than 90 → give at least 90 days"
BOTH = tuple(JobState(job("preflight", symbol), "failed", error_message=WHY) for symbol in ("SOL", "BTC"))


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roots:
    """A run of two rounds that ended in the first, as its scheduler decides it."""
    for name in ("STATE_ROOT", "LOGS_ROOT", "BACKTEST_OPTIMIZE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    one = Roots.from_environment()
    order = replace(ORDER, rounds=2)
    orders.write(one.swarm_run("bt-1").order, order)
    snapshot.write_json(one.current_run, {"run_id": "bt-1"})
    one.swarm_run("bt-1").round(0).path.mkdir(parents=True)
    decided = auto_scheduler.decide(world(order=order, jobs=BOTH), auto_scheduler.Memory(), LIMITS)
    assert [action.kind for action in decided.actions] == ["finish_run"]
    finished = {"finished_at": "2026-01-01T00:30:00.000Z", **decided.actions[0].arguments}
    snapshot.write_json(one.swarm_run("bt-1").finished, finished)
    return one


def test_a_run_of_which_every_unit_failed_has_no_result_and_says_why(
    roots: Roots, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results.main([]) == 1
    said = capsys.readouterr().out
    assert f"SOL aggressive: round 1, preflight failed: {WHY}" in said
    assert "every symbol and mode failed" in said
    assert "0 of 0" not in said
    assert results.main(["--json"]) == 1
    assert set(json.loads(capsys.readouterr().out)["failed"]) == {"SOL aggressive", "BTC aggressive"}


def test_a_result_says_of_which_round_it_is_counted_from_one(roots: Roots, capsys: pytest.CaptureFixture[str]) -> None:
    outcome: dict[str, Any] = {"symbol": "SOL", "mode": "aggressive", "synthetic": False, "bests": {}, "round": 0}
    outcome |= {"verdict": "nothing was found", "artifacts": "here", "next": "that"}
    unit = roots.swarm_run("bt-1").round(0).unit("SOL", "aggressive")
    snapshot.write_json(unit.outcome, outcome)
    assert results.main([]) == 0
    assert "SOL aggressive · its newest result is of round 1 of 2" in capsys.readouterr().out
    facts = handoff._facts(roots, orders.every(roots)[0], world(), LIMITS, SystemClock().now())
    text = handoff.page(facts, None)
    assert "**SOL aggressive**, round 1: nothing was found" in text
    assert "complete (nothing is left to compute after round 1: every symbol and mode failed)" in text


def test_a_complete_run_says_why_it_ended(roots: Roots) -> None:
    now = status.build(roots)
    assert now["stage"] == "complete"
    said = "\n".join(str(line) for line in show.page(now, 200).renderables)
    assert "the run is complete: nothing is left to compute after round 1: every symbol and mode failed" in said


@pytest.mark.parametrize(
    ("rounds", "good", "bad", "why"),
    [
        (1, 2, 0, "its one round is done"),
        (3, 2, 0, "all 3 rounds are done"),
        (3, 1, 1, "all 3 rounds are done, 1 of 2 symbols and modes failed"),
        (2, 0, 2, "nothing is left to compute after round 2: every symbol and mode failed"),
    ],
)
def test_why_a_run_is_over(rounds: int, good: int, bad: int, why: str) -> None:
    assert auto_scheduler._why_over(rounds, good, bad) == why


def test_nobody_goes_on_without_a_failed_unit_when_there_is_nobody_else() -> None:
    def remedy(**values: Any) -> str:
        return next(one.remedy for one in continuity.incidents(world(**values), LIMITS) if "failed" in one.incident_id)

    assert remedy(jobs=BOTH[:1]).startswith("the others go on without it; when they are done, fix")
    assert remedy(jobs=BOTH[:1], run_finished=True) == "the others are done: fix the cause and type the command again"
    assert remedy(jobs=BOTH).startswith("no symbol and mode is left: fix")
    alone = replace(ORDER, symbols=("SOL",))
    assert remedy(jobs=BOTH[:1], order=alone) == "fix the cause and type the command again"
    assert remedy(dropped={"BTC aggressive": WHY}, jobs=BOTH[:1]).startswith("no symbol and mode is left")


def test_since_when_a_phase_runs_is_said_of_this_round_and_never_of_an_earlier_one(roots: Roots) -> None:
    told = Journal(roots.session_events)
    told.append({"at": "2026-01-01T00:05:00.000Z", "event": "stage", "stage": "1 searching", "run_id": "bt-1"})
    one = job("search", round_=1)
    here = world(round=1, round_began="2026-01-01T00:20:00.000Z", jobs=(running(one),))
    assert status.stage_since(roots, here, Timeline(())) is None
    enqueued = {"at": "2026-01-01T00:25:00.000Z", "event": "enqueued", "job": tree_of(one)}
    started = {"at": "2026-01-01T00:26:00.000Z", "event": "started", "job_id": one.job_id}
    again = {"at": "2026-01-01T00:28:00.000Z", "event": "died", "job_id": one.job_id}
    line = Timeline([enqueued, started, again, {**started, "at": "2026-01-01T00:29:00.000Z"}])
    assert status.stage_since(roots, here, line) == started["at"], "a worker that died does not begin the phase anew"
    waits = replace(here, jobs=(state(one),))
    assert status.stage_since(roots, waits, Timeline([enqueued, started, again])) == again["at"]
