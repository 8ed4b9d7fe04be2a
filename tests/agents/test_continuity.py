"""What the hang guard, the state manager, the watchdog and the session log see and report."""

from dataclasses import replace
from typing import Any

import pytest

from agents.model.knowledge import Knowledge
from agents.model.world import Sample
from agents.registry import AGENTS, MONITORS
from agents.roles import operation_hang_guard as guard
from agents.roles import session_log, watchdog
from agents.roles import session_state_manager as manager
from agents.rules import chronicle
from state.records.agent_states import Counts
from state.records.request import Request
from tests.agents.worlds import LIMITS, ORDER, agent, job, running, session, state, worker, world

ALL = tuple(agent(row.name, row.session, cadence_s=row.cadence_s) for row in AGENTS)
SESSIONS = tuple(session(name) for name in (*(r.session for r in AGENTS), *(m.session for m in MONITORS)))
CONTROL = {"monitors": [monitor.session for monitor in MONITORS]}


def but(name: str, **values: Any) -> tuple[Any, ...]:
    return tuple(replace(view, **values) if view.agent == name else view for view in ALL)


def ids(w: Any) -> list[str]:
    return [one.incident_id for one in manager.incidents(w, LIMITS)]


# operation_hang_guard -------------------------------------------------------------------------------------------------


def test_all_there_and_fresh_is_left_alone() -> None:
    decision = guard.decide(world(agents=ALL, sessions=SESSIONS, control=CONTROL), guard.Memory(), LIMITS)
    assert (decision.actions, decision.reason) == ((), "all sessions are there")


def test_a_missing_session_is_brought_back_at_once_monitors_too() -> None:
    for gone in ("bt-worker-sentry", "bt-worker-cpu-mon"):
        left = tuple(one for one in SESSIONS if one.name != gone)
        decision = guard.decide(world(agents=ALL, sessions=left, control=CONTROL), guard.Memory(), LIMITS)
        assert decision.actions[0].arguments == {"respawn": [], "outside": False}
        assert f"{gone} is missing" in decision.reason


def test_a_stale_agent_is_respawned_at_the_second_look() -> None:
    w = world(agents=but("auto_scheduler", age_s=500.0), sessions=SESSIONS, control=CONTROL)
    first = guard.decide(w, guard.Memory(), LIMITS)
    assert first.actions == ()
    second = guard.decide(w, first.memory, LIMITS)
    assert second.actions[0].arguments == {"respawn": ["bt-auto-scheduler"], "outside": False}


def test_an_agent_that_only_began_is_given_time() -> None:
    w = world(agents=but("auto_scheduler", age_s=None, session_age_s=3.0), sessions=SESSIONS, control=CONTROL)
    memory = guard.Memory({"bt-auto-scheduler": 5})
    assert guard.decide(w, memory, LIMITS).actions == ()


def test_a_loop_that_began_and_died_is_stale_however_young_its_session() -> None:
    died_at_once = agent("x", "bt-x", session_age_s=3.0, loop_age_s=2.0, loop_life="dead")
    of_before = agent("x", "bt-x", session_age_s=3.0, loop_age_s=500.0, loop_life="dead")
    assert died_at_once.is_stale(LIMITS)
    assert not of_before.is_stale(LIMITS)


def test_a_tmux_without_an_answer_is_repaired_from_outside_its_panes() -> None:
    decision = guard.decide(world(agents=ALL, sessions=None, control=CONTROL), guard.Memory(), LIMITS)
    assert [(a.kind, a.arguments) for a in decision.actions] == [("ensure_sessions", {"respawn": [], "outside": True})]


def test_nothing_is_brought_back_after_a_stop() -> None:
    decision = guard.decide(world(stopped=True, agents=ALL, sessions=(), control=CONTROL), guard.Memory(), LIMITS)
    assert decision.actions == ()


def test_a_wish_to_ensure_is_answered() -> None:
    wish = Request("q", "ensure_sessions", "all", "me", "2026", "2027")
    w = world(agents=ALL, sessions=SESSIONS, control=CONTROL, requests=(wish,))
    assert [a.kind for a in guard.decide(w, guard.Memory(), LIMITS).actions] == ["answer_request", "ensure_sessions"]


# session_state_manager ------------------------------------------------------------------------------------------------


def test_a_healthy_run_has_no_incident_and_nothing_to_do_by_hand() -> None:
    w = world(agents=ALL, jobs=(running(),), workers=(worker(),))
    assert ids(w) == []
    steps = manager.next_steps(w, [])
    assert [step.id for step in steps] == ["maintain_polling_and_keep_workers_saturated"]
    assert not steps[0].actionable
    assert manager.stage(w) == "1 prescreening, 1 waiting for preflight"


def test_the_stage_is_what_every_symbol_and_mode_does_and_not_the_one_furthest_behind() -> None:
    def over(phase: str, symbol: str) -> Any:
        return state(job(phase, symbol), status="completed")

    units = ("SOL", "BTC", "ETH", "ADA", "XRP", "DOT")
    order = replace(ORDER, symbols=units)
    jobs = (
        running(job("validate", "SOL")),
        running(job("validate", "BTC")),
        over("merge", "ETH"),
        running(job("search", "ETH")),
        over("report", "ADA"),
        state(job("search", "XRP"), status="failed"),
        over("preflight", "DOT"),
    )
    w = world(agents=ALL, order=order, jobs=jobs)
    said = "2 validating, 1 searching, 1 waiting to prescreen, 1 complete, 1 failed"
    assert manager.stage(w) == said
    report = manager.decide(w, manager.Memory(), LIMITS).report
    assert report.stage == said
    assert report.units == {
        "validating": 2,
        "searching": 1,
        "waiting to prescreen": 1,
        "complete": 1,
        "failed": 1,
    }
    assert manager.stage(replace(w, run_finished=True)) == "complete"
    assert manager.stage(world(order=order, jobs=())) == "scheduling"
    assert manager.stage(world(dropped={"BTC aggressive": "20 days"}, jobs=jobs)) == "1 validating, 1 failed"


def test_one_more_of_a_kind_is_no_event_and_the_end_of_a_run_is_one() -> None:
    def stage_events(w: Any, before: str) -> list[str]:
        decision = manager.decide(w, manager.Memory(stage=before), LIMITS)
        return [e["stage"] for a in decision.actions for e in a.arguments.get("events", ()) if e["event"] == "stage"]

    done = tuple(state(job("report", symbol), status="completed") for symbol in ("SOL", "BTC"))
    w = world(agents=ALL, jobs=done)
    assert stage_events(w, "1 complete") == []
    assert stage_events(w, "1 validating, 1 complete") == ["2 complete"]
    assert stage_events(replace(w, run_finished=True), "2 complete") == ["complete"]


def test_incidents_name_what_is_wrong_and_who_remedies_it() -> None:
    w = world(
        agents=but("worker_sentry", age_s=500.0),
        jobs=(running(), state(job("merge", "BTC"), status="quarantined", error_message="5 deaths")),
        workers=(worker(silent_s=90.0),),
        disk_free_bytes=1,
        bad_lines=2,
    )
    assert ids(w) == [
        "agent_stale:worker_sentry",
        "job_quarantined:r0.BTC.aggressive.merge.0",
        "bad_lines",
        "worker_silent:r0.SOL.aggressive.prescreen.0",
        "disk_full",
    ]


def test_a_dead_swarm_is_one_incident_and_its_remedy_can_be_typed() -> None:
    w = world(agents=tuple(replace(view, loop_life="dead") for view in ALL))
    (one,) = manager.incidents(w, LIMITS)
    assert (one.incident_id, "ensure_swarm_watchdogs.sh" in one.remedy) == ("no_agents", True)


def test_jobs_that_wait_while_nothing_runs_become_an_incident_after_three_cycles() -> None:
    w = world(agents=ALL, jobs=(state(),))
    first = manager.decide(w, manager.Memory(), LIMITS)
    assert first.report.incidents == ()
    later = manager.decide(replace(w, now_s=w.now_s + 60), first.memory, LIMITS)
    assert [one.id for one in later.report.incidents] == ["no_workers"]
    working = manager.decide(replace(w, workers=(worker(),), now_s=w.now_s + 61), later.memory, LIMITS)
    assert working.memory.idle_since_s is None


def test_an_incident_is_written_down_when_it_opens_and_when_it_closes_and_not_between() -> None:
    wrong, right = world(agents=ALL, disk_free_bytes=1), world(agents=ALL)
    first = manager.decide(wrong, manager.Memory(stage=manager.stage(wrong)), LIMITS)
    again = manager.decide(wrong, first.memory, LIMITS)
    closed = manager.decide(right, again.memory, LIMITS)

    def events(decision: Any) -> list[str]:
        return [e["event"] for a in decision.actions for e in a.arguments.get("events", [])]

    assert (events(first), events(again), events(closed)) == (["incident_opened"], [], ["incident_closed"])


def test_the_guard_itself_is_respawned_by_the_manager_alone() -> None:
    w = world(agents=but("operation_hang_guard", age_s=500.0))
    memory = manager.decide(w, manager.Memory(), LIMITS).memory
    actions = [a for a in manager.decide(w, memory, LIMITS).actions if a.kind == "ensure_guard"]
    assert actions[0].arguments == {"respawn": ["bt-operation-hang-guard"]}
    other = world(agents=but("watchdog", age_s=500.0))
    memory = manager.decide(other, manager.Memory(), LIMITS).memory
    assert "ensure_guard" not in [a.kind for a in manager.decide(other, memory, LIMITS).actions]


def test_a_stopped_swarm_has_one_next_step_and_no_incidents() -> None:
    w = world(stopped=True, agents=but("watchdog", age_s=500.0), disk_free_bytes=1)
    assert ids(w) == []
    assert [step.what for step in manager.next_steps(w, [])] == ["scripts/backtest-optimize start"]


# watchdog and session_log ---------------------------------------------------------------------------------------------


def sample(cpu_used_s: float | None, gpus: Any = ()) -> Sample:
    return Sample(2, cpu_used_s, 8 * 10**9, 10**9, 10**12, gpus)


def test_utilisation_is_of_the_cores_we_may_use_over_the_last_minute() -> None:
    memory = watchdog.Memory()
    reports = []
    for step in range(8):
        w = world(now_s=10_000.0 + 15 * step, sample=sample(100.0 + 15.0 * step), sessions=())
        decision = watchdog.decide(w, memory, LIMITS)
        memory = decision.memory
        reports.append(decision.report.cpu_pct)
    assert reports[0] is None, "one reading says nothing"
    assert reports[1:] == [50.0] * 7
    assert len(memory.readings) <= 6


def test_what_cannot_be_read_is_unknown_and_not_zero() -> None:
    decision = watchdog.decide(world(sample=sample(None, gpus=None), sessions=None), watchdog.Memory(), LIMITS)
    assert (decision.report.cpu_pct, decision.report.gpu_pct, decision.report.sessions) == (None, None, None)


def test_no_gpu_is_said_once_and_is_no_incident() -> None:
    w = world(sample=sample(1.0), sessions=())
    first = watchdog.decide(w, watchdog.Memory(), LIMITS)
    assert first.actions[0].arguments["events"] == [{"event": "skip_gpu_actions_no_gpu_detected"}]
    assert watchdog.decide(w, first.memory, LIMITS).actions == ()


def test_every_death_is_written_down_once() -> None:
    deaths: tuple[dict[str, Any], ...] = ({"event": "died", "job_id": "a"}, {"event": "died", "job_id": "b"})
    quiet = watchdog.Memory(no_gpu_said=True)
    first = watchdog.decide(world(sample=sample(1.0), last_deaths=deaths[:1]), quiet, LIMITS)
    second = watchdog.decide(world(sample=sample(1.0), last_deaths=deaths), first.memory, LIMITS)
    third = watchdog.decide(world(sample=sample(1.0), last_deaths=deaths), second.memory, LIMITS)
    jobs = [[e["job_id"] for a in d.actions for e in a.arguments["events"]] for d in (first, second, third)]
    assert jobs == [["a"], ["b"], []]


def test_the_log_writes_while_something_moves_and_rests_when_nothing_does() -> None:
    line = session_log.decide(world(jobs=(running(),), workers=(worker(),)), session_log.Memory(), LIMITS)
    assert line.actions[0].arguments["line"]["jobs"] == {"running": 1}
    for w in (world(stopped=True), world(run_finished=True), world(order=None)):
        assert session_log.decide(w, session_log.Memory(), LIMITS).actions == ()


def test_after_the_stop_of_a_complete_run_its_results_are_next_and_of_an_open_one_the_start() -> None:
    def steps(**values: Any) -> list[str]:
        return [step.id for step in manager.next_steps(world(stopped=True, **values), [])]

    assert steps(run_finished=True) == ["read_results"]
    assert steps(run_finished=False) == ["start_again"]


@pytest.mark.parametrize(
    ("reports", "here", "tokens"),
    [
        ({}, Knowledge(), "none"),
        ({"process_auditor": {"efficacy": 35.97}}, Knowledge(), "process_efficacy_low"),
        ({"process_auditor": {"efficacy": 50.0}}, Knowledge(), "none"),
        ({"process_auditor": {"efficacy": None}}, Knowledge(), "none"),
        ({}, Knowledge(is_damaged=True), "knowledge_plane_not_ready"),
    ],
)
def test_the_notes_name_what_shapes_the_actions_by_the_operators_tokens(
    reports: dict[str, Any], here: Knowledge, tokens: str
) -> None:
    text = chronicle.notes(world(reports=reports, control={"gpu_plan": "gpus"}), here)
    assert f"- Active actions: `{tokens}`" in text


def test_a_document_that_could_not_be_written_is_a_knowledge_plane_that_is_not_ready() -> None:
    row = Counts(done=1, failed=0, held=0, unmet=1, unknown=0, expected="", holds=False)
    text = chronicle.notes(world(), Knowledge(deeds={"curator": {"write_notes": row}}))
    assert "knowledge_plane_not_ready" in text
