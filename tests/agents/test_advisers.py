"""Properties of those who only advise: deterministic, scores within their bounds, the unknown stays unknown."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import registry
from agents.actions.documents import Ask
from agents.machine import acts
from agents.model.knowledge import Knowledge
from agents.model.world import World
from agents.roles import (
    budget_guard,
    main_orchestrator,
    operation_hang_guard,
    orchestration_consensus,
    process_auditor,
    quant_analyst,
)
from agents.roles import session_state_manager as manager
from agents.rules import contradictions, signatures
from agents.runtime import tally
from state.files import codec
from state.files.layout import Roots
from state.files.tree import record_of, tree_of
from state.records import request
from state.records.agent_states import Counts, Deed, Verified
from state.records.jobs import STATUSES
from tests.agents.worlds import LIMITS, ORDER, agent, job, limits_with, state, worker, world
from tests.state.test_records import Clock

ADVISERS = [row.name for row in registry.AGENTS if row.advises]

_CPU = st.none() | st.floats(0, 100)
_LIVES = st.sampled_from(["running", "stopped", "dead", "unknown"])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds of every kind, sensible or not."""
    phases = st.sampled_from(["preflight", "prescreen", "search"])
    jobs = [job(draw(phases), symbol) for symbol in draw(st.lists(st.sampled_from("ABC"), unique=True, max_size=3))]
    states = tuple(
        state(one, status=draw(st.sampled_from(STATUSES)), last_done=draw(st.integers(0, 99))) for one in jobs
    )
    workers = tuple(
        worker(
            one,
            epoch=draw(st.integers(1, 3)),
            life=draw(_LIVES),
            done=draw(st.integers(0, 100)),
            total=draw(st.sampled_from([0, 100])),
            silent_s=draw(st.floats(0, 1_000)),
            rate_per_s=draw(st.none() | st.floats(0, 1e6)),
        )
        for one in jobs
    )
    views = tuple(
        agent(row.name, row.session, age_s=draw(st.none() | st.floats(0, 1_000)), cycle=draw(st.integers(0, 3)))
        for row in registry.AGENTS[:4]
    )
    return world(
        now_s=draw(st.floats(0, 1e6)),
        stopped=draw(st.booleans()),
        order=draw(st.sampled_from([None, ORDER])),
        run_finished=draw(st.booleans()),
        jobs=states,
        workers=workers,
        agents=views,
        control={"cpu_pct": draw(_CPU), "gpu_pct": draw(_CPU), "sessions": draw(st.none() | st.just([]))},
        outcomes=draw(st.none() | st.just(())),
        hypotheses=draw(st.none() | st.just(())),
        knowledge=draw(st.none() | st.just(Knowledge())),
    )


@pytest.mark.parametrize("name", ADVISERS)
@settings(max_examples=40, deadline=None)
@given(st.lists(worlds(), min_size=1, max_size=4))
def test_the_same_story_is_decided_the_same_and_scores_stay_in_bounds(name: str, story: list[World]) -> None:
    one = registry.row(name).load()
    memory = again = one.memory()
    for here in story:
        decision = one.decide(here, memory, LIMITS)
        recorded = codec.decode(codec.encode({"world": tree_of(here), "memory": tree_of(again)}))
        other = one.decide(record_of(World, recorded["world"]), record_of(one.memory, recorded["memory"]), LIMITS)
        assert codec.encode(asdict(decision)) == codec.encode(asdict(other))
        for score in ("deviation", "performance", "efficiency", "adherence", "efficacy"):
            value = getattr(decision.report, score, None)
            assert value is None or 0 <= value <= 100
        assert {type(action) for action in decision.actions} <= set(one.owns)
        memory, again = decision.memory, other.memory


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_stop_is_never_contradicted(here: World) -> None:
    memory = main_orchestrator.Memory(stale={"watchdog": 99}, cycles={"watchdog": 0})
    assert main_orchestrator.decide(replace(here, stopped=True), memory, LIMITS).actions == ()


def test_what_is_unknown_gives_no_score() -> None:
    blind = world(agents=(), control={})
    consensus = orchestration_consensus.decide(blind, orchestration_consensus.Memory(), LIMITS).report
    audit = process_auditor.decide(blind, process_auditor.Memory(), LIMITS).report
    quant = quant_analyst.decide(blind, quant_analyst.Memory(), LIMITS).report
    assert (consensus.deviation, consensus.performance, consensus.efficiency) == (None, None, None)
    assert audit.efficacy is None
    assert (quant.best_so_far, quant.candidates, quant.tries, quant.synthetic) == (None, None, None, None)


def test_memory_stays_small_over_a_week() -> None:
    memory: Any = orchestration_consensus.Memory()
    guard: Any = budget_guard.Memory()
    for number in range(2_000):
        one = worker(job(), epoch=number, done=number % 100, rate_per_s=5.0)
        here = world(now_s=30.0 * number, workers=(one,), control={"cpu_pct": 90.0})
        memory = orchestration_consensus.decide(here, memory, LIMITS).memory
        guard = budget_guard.decide(here, guard, LIMITS).memory
    assert len(json.dumps(tree_of(memory))) < 4_000
    assert len(json.dumps(tree_of(guard))) < 300


def test_every_rule_names_the_two_that_contradict_and_believes_one_of_them() -> None:
    assert len({rule.rule for rule in contradictions.RULES}) == len(contradictions.RULES)
    assert all(rule.believed in rule.signals and rule.why for rule in contradictions.RULES)
    assert set(main_orchestrator._REMEDIES) <= {rule.rule for rule in contradictions.RULES}


def test_without_advisers_nothing_else_changes() -> None:
    none = limits_with(agents={"advisers": False})
    assert {row.name for row in registry.at_work(none)} == {row.name for row in registry.AGENTS} - set(ADVISERS)
    assert set(ADVISERS) >= {"curator", "process_auditor", "main_orchestrator", "orchestration_consensus"}
    said = {"main_orchestrator": {"run_id": "bt-1", "next_step": {"id": "x", "what": "y", "why": "z"}}}
    ids = [[step.id for step in manager.next_steps(world(reports=reports), [])] for reports in (said, {})]
    assert ids == [["x", manager._IDLE], [manager._IDLE]]


def test_over_budget_is_an_incident_that_people_decide_on() -> None:
    reports = {"budget_guard": {"over_budget": True, "over": ["$ 6.00 today (UTC), 5 are allowed"]}}
    (one,) = manager.incidents(world(reports=reports), LIMITS)
    assert (one.incident_id, one.what, one.actionable) == ("over_budget", "$ 6.00 today (UTC), 5 are allowed", False)
    assert manager.incidents(world(reports={"budget_guard": {"over_budget": False}}), LIMITS) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("killed by signal 9", "killed by signal 9", True),
        ("killed by signal 9", "killed by signal 11", False),
        ("no progress for 61 s", "no progress for 640.5 s", True),
        ("cannot read /a/b.csv: gone", "cannot read /c d.csv: gone", False),
        ("cannot read /a/b.csv: gone", "cannot read /x/y/z.csv: gone", True),
        ("r0.SOL.x.merge.0 made no progress", "r17.BTC.y.merge.3 made no progress", True),
    ],
)
def test_a_signature_forgets_numbers_and_places(one: str, other: str, same: bool) -> None:
    first, second = (signatures.of("log", {"event": "died", "error_message": text}) for text in (one, other))
    assert (first == second) is same


def test_a_tally_counts_what_was_done_and_what_held() -> None:
    done = Deed("end_job", "a", "it is over", "done")
    first = tally.after({}, [done], [])
    second = tally.after(first, [replace(done, outcome="failed: OSError: x")], [Verified(**vars(done), holds=True)])
    third = tally.after(second, [], [Verified(**vars(done), holds=False)])
    assert third == {"end_job": Counts(1, 1, 1, 1, 0, "it is over", False)}
    assert tally.after({}, [], [Verified(**vars(done), holds=None)])["end_job"].unknown == 1


def test_every_action_of_an_adviser_is_carried_out_by_somebody() -> None:
    for name in ADVISERS:
        for kind in registry.row(name).load().owns:
            assert kind in acts.KINDS


def test_a_wish_is_on_file_once_and_its_owner_answers_it(tmp_path: Path) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    wish = Ask("all", "ensure_sessions", "operation_hang_guard", {"watchdog": "no cycle for 900 s"})
    hands = acts.Acts(roots, LIMITS, Clock(), "bt-1", 0)
    first = hands.do(wish)
    assert hands.do(wish) == f"{first} asks for it already"
    (one,) = request.pending(roots.requests)
    assert (one.kind, one.target, one.asked_by) == ("ensure_sessions", "all", "main_orchestrator")
    answers = operation_hang_guard.decide(world(requests=(one,)), operation_hang_guard.Memory(), LIMITS).actions
    assert (answers[0].kind, answers[0].target) == ("answer_request", first)
