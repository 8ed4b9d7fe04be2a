"""What the scheduler enqueues, situation by situation."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

from agents.model.world import Lane
from agents.roles.auto_scheduler import Memory, decide
from state.records.jobs import PHASES
from tests.agents.worlds import LIMITS, ORDER, job, running, state, world


def enqueued(w: Any) -> list[str]:
    return [
        f"{j['symbol']}.{j['phase']}.{j['shard']}/{j['shards']}"
        for action in decide(w, Memory(), LIMITS).actions
        if action.kind == "enqueue_jobs"
        for j in action.arguments["jobs"]
    ]


def completed(*phases: str, symbol: str = "SOL", shards: int = 1) -> tuple[Any, ...]:
    return tuple(
        state(job(phase, symbol, shard, shards if phase in ("prescreen", "merge") else 1), status="completed")
        for phase in phases
        for shard in range(shards if phase == "prescreen" else 1)
    )


def test_a_run_begins_with_the_checks_of_every_unit() -> None:
    assert enqueued(world(round=-1)) == ["SOL.preflight.0/1", "BTC.preflight.0/1"]


def test_a_prescreen_has_a_shard_a_lane_and_none_larger_than_the_setting() -> None:
    one = replace(ORDER, symbols=("SOL",))
    assert enqueued(world(order=one, jobs=completed("preflight"))) == ["SOL.prescreen.0/2", "SOL.prescreen.1/2"]
    large = replace(one, settings={**ORDER.settings, "prescreen": {"combos": 100_000, "batch_combos": 2048}})
    assert len(enqueued(world(order=large, jobs=completed("preflight")))) == 4


def test_a_prescreen_that_only_gpus_take_has_a_shard_a_gpu() -> None:
    """Starting a worker takes a GPU's lane longer than the combos of a core's shard do."""
    settings = {**ORDER.settings, "prescreen": {"combos": 250_000, "batch_combos": 2048}}
    one = replace(ORDER, symbols=("SOL",), settings=settings, engine="gpu")
    gpus = tuple(Lane(f"gpu{i}", 1, f"GPU-{i}") for i in range(2))
    jobs = completed("preflight")
    assert enqueued(world(order=one, jobs=jobs, gpu_lanes=gpus)) == ["SOL.prescreen.0/2", "SOL.prescreen.1/2"]
    by_cores = enqueued(world(order=replace(one, engine="auto"), jobs=jobs, gpu_lanes=gpus))
    assert len(by_cores) > 2
    assert enqueued(world(order=one, jobs=jobs)) == by_cores, "no GPU is known: one may come"


def test_units_share_the_lanes() -> None:
    both = (*completed("preflight"), *completed("preflight", symbol="BTC"))
    small = {"prescreen": {"combos": 20_000, "batch_combos": 2048}, "search": ORDER.settings["search"]}
    w = world(order=replace(ORDER, settings=small), jobs=both)
    assert enqueued(w) == ["SOL.prescreen.0/1", "BTC.prescreen.0/1"]


def test_a_phase_waits_for_every_shard_of_the_one_before() -> None:
    jobs = (
        *completed("preflight"),
        *completed("prescreen", shards=2)[:1],
        running(job("prescreen", shard=1, shards=2)),
    )
    assert enqueued(world(jobs=jobs)) == []
    assert enqueued(world(jobs=completed("preflight", "prescreen", shards=2))) == ["SOL.merge.0/2"]


def test_every_phase_leads_to_the_next_and_the_report_to_nothing() -> None:
    one = replace(ORDER, symbols=("SOL",))
    for phase, following in pairwise(PHASES[2:]):
        done = completed(*PHASES[: PHASES.index(phase) + 1])
        assert enqueued(world(order=one, jobs=done))[0].split(".")[1] == following
    decision = decide(world(order=one, jobs=completed(*PHASES)), Memory(), LIMITS)
    assert [a.kind for a in decision.actions] == ["finish_run"]
    assert decision.actions[0].arguments["failed"] == {}


def test_a_shard_that_the_journal_has_lost_is_enqueued_again() -> None:
    jobs = (*completed("preflight"), *completed("prescreen", shards=3)[::2])
    assert enqueued(world(jobs=jobs)) == ["SOL.prescreen.1/3"]


def test_a_failed_unit_ends_and_is_remembered_in_every_later_round() -> None:
    bad = state(job("preflight", "BTC"), status="failed", error_message="20 days")
    two = replace(ORDER, rounds=2)
    after = decide(world(order=two, jobs=(*completed(*PHASES), bad)), Memory(), LIMITS).actions[0]
    assert after.arguments["round"] == 1
    assert [j["symbol"] for j in after.arguments["jobs"]] == ["SOL"]
    assert after.arguments["dropped"] == {"BTC aggressive": "round 1, preflight failed: 20 days"}
    jobs = tuple(replace(s, job=replace(s.job, round=1)) for s in completed(*PHASES))
    end = decide(world(order=two, round=1, jobs=jobs, dropped=after.arguments["dropped"]), Memory(), LIMITS).actions[0]
    assert (end.kind, list(end.arguments["failed"])) == ("finish_run", ["BTC aggressive"])


def test_rounds_without_number_go_on_until_nothing_is_left() -> None:
    endless = replace(ORDER, rounds=0, symbols=("SOL",))
    assert enqueued(world(order=endless, jobs=completed(*PHASES))) == ["SOL.preflight.0/1"]
    bad = (state(job("preflight"), status="failed", error_message="gone"),)
    assert [a.kind for a in decide(world(order=endless, jobs=bad), Memory(), LIMITS).actions] == ["finish_run"]


def test_it_rests_when_stopped_complete_or_without_a_run() -> None:
    for w in (world(stopped=True), world(run_finished=True), world(order=None)):
        decision = decide(w, Memory(), LIMITS)
        assert decision.actions == ()
        assert decision.reason
