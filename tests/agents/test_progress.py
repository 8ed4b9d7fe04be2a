"""How far a symbol and mode is, by hand."""

import pytest

from agents.rules import progress
from state.records.timeline import Timeline
from tests.agents.worlds import job, running, state, worker, world

UNIT = ("SOL", "aggressive")
SHARDS = tuple(job("prescreen", shard=number, shards=2) for number in range(2))
# Preflight and one of two shards are done, a tenth of the other: of ORDER's 50,000 combos.
STATES = [state(job("preflight"), status="completed"), state(SHARDS[0], status="completed"), running(SHARDS[1])]
WORLD = world(jobs=tuple(STATES), workers=(worker(SHARDS[1], done=10, total=100),))
WHOLE = 4.0 + 6.0 + 1.0 + 0.0 + 60.0 + 6.0 + 1.0  # weights of all phases, as seconds


def test_a_bar_over_all_phases_weighs_each_by_what_it_takes() -> None:
    assert progress.phase(STATES) == "prescreen"
    assert progress.percent(STATES, WORLD) == pytest.approx(100 * (4.0 + 6.0 * 1.1 / 2) / WHOLE)


def test_a_worker_that_does_not_know_its_total_adds_nothing() -> None:
    here = world(jobs=tuple(STATES), workers=(worker(SHARDS[1], done=10, total=0),))
    assert progress.percent(STATES, here) == pytest.approx(100 * (4.0 + 6.0 / 2) / WHOLE)


def test_what_is_reported_is_done_whatever_else_is_on_file() -> None:
    assert not progress.is_reported(STATES)
    assert progress.percent([*STATES, state(job("report"), status="completed")], WORLD) == 100.0


def test_nothing_is_done_of_nothing() -> None:
    assert (progress.phase([]), progress.percent([], WORLD), progress.done_of(world())) == (None, 0.0, {})


def test_phases_count_their_jobs_together() -> None:
    assert progress.done_of(WORLD) == {(UNIT, "preflight"): 1.0, (UNIT, "prescreen"): pytest.approx(0.55)}


def test_a_phase_at_work_began_once_and_one_that_waits_changed_last() -> None:
    def record(second: int, event: str, **more: object) -> dict[str, object]:
        return {"at": f"2026-01-01T00:00:{second:02}.000Z", "event": event, "job_id": SHARDS[1].job_id, **more}

    tree = {"round": 0, "symbol": "SOL", "mode": "aggressive", "phase": "prescreen", "shard": 1, "shards": 2}
    began = [record(1, "enqueued", job=tree), record(2, "started")]
    line = Timeline([*began, record(3, "died"), record(4, "started")])
    assert progress.since(UNIT, WORLD, line) == "2026-01-01T00:00:02.000Z"
    waits = world(jobs=(state(SHARDS[1]),))
    assert progress.since(UNIT, waits, Timeline([*began, record(3, "died")])) == "2026-01-01T00:00:03.000Z"
    assert progress.since(("BTC", "aggressive"), waits, line) is None
