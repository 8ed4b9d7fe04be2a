"""What healers record, which agents report it, and that reports about missing agents are true in every combination."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.machine import casualties
from agents.machine.casualties import Before
from agents.model.world import KeeperView
from agents.registry import AGENTS, SESSIONS
from agents.roles import session_state_manager as manager
from agents.roles import watchdog
from agents.rules import signatures
from state.files.layout import Roots
from state.host import identity
from state.host.clock import SystemClock
from state.records import healing
from state.records.server import Server
from tests.agents.worlds import LIMITS, agent, world
from tests.agents.yard import wait_for_stop, yard

VIEWS = {row.session: agent(row.name, row.session, cadence_s=row.cadence_s) for row in AGENTS}
ALL = tuple(VIEWS.values())
CYCLED = dict.fromkeys(VIEWS, "2026-01-01T00:59:57.000Z")


def before(dead: dict[str, Any] | None = None, lives: bool = True, **values: Any) -> Before:
    """A swarm that was found with these agents changed."""
    views = {s: replace(view, **(dead or {}).get(view.agent, {})) for s, view in VIEWS.items()}
    server = Server("bt", "/tmp", identity.mine(), SESSIONS)
    filled = {"server": server, "server_lives": lives, "views": views, "cycled_at": CYCLED, "ended": {}}
    filled |= {"answered_at": "2026-01-01T00:59:00.000Z", "at_work": ()}
    return Before(**(filled | values))


def told(found: Before, started: list[str], repaired: tuple[str, ...] = ()) -> list[healing.Record]:
    return casualties.told(found, started, repaired, "somebody", SystemClock())


def events(records: list[healing.Record]) -> list[str]:
    return [f"{one['event']} {one['id']}" for one in records]


def dead(*names: str) -> tuple[Any, ...]:
    return tuple(replace(view, loop_life="dead") if view.agent in names else view for view in ALL)


# what is written down -------------------------------------------------------------------------------------------------


def test_a_loop_that_was_killed_is_told_with_cause_healer_and_duration() -> None:
    died, back = told(before({"watchdog": {"loop_life": "dead", "age_s": 7.5}}), ["bt-watchdog"])
    assert (died["event"], died["id"], died["what"]) == ("agent_died", "watchdog", "its loop was killed, or crashed")
    assert died["since"] == CYCLED["bt-watchdog"]
    assert (back["event"], back["by"], back["for_s"]) == ("agent_respawned", "somebody", 7.5)


@pytest.mark.parametrize(
    ("values", "ended", "event", "words"),
    [
        ({"loop_life": "dead"}, "OSError: full", "agent_died", "by itself: OSError: full"),
        ({"loop_life": "stopped"}, "", "agent_hung", "state T"),
        ({"loop_life": "running", "age_s": 300.0}, "", "agent_hung", "not cycled for 300 s"),
        ({"loop_life": "unknown", "age_s": None}, "", "agent_died", "nothing on record"),
        ({"loop_life": "dead", "awaited_s": 40.0}, "KeyError", "agent_does_not_begin", "not cycled for 40 s: KeyError"),
    ],
)
def test_every_cause_has_its_words(values: dict[str, Any], ended: str, event: str, words: str) -> None:
    found = before({"curator": values}, ended={"bt-curator": ended} if ended else {})
    assert (told(found, ["bt-curator"])[0]["event"], words in told(found, ["bt-curator"])[0]["what"]) == (event, True)


def test_a_server_that_died_is_one_incident_with_its_sessions_and_the_workers_are_adopted() -> None:
    records = told(before(lives=False, at_work=("w1", "w2")), list(SESSIONS))
    assert events(records) == ["tmux_died tmux", "tmux_respawned tmux", "workers_adopted worker_sentry"]
    assert records[0]["sessions"] == list(SESSIONS)
    assert records[0]["since"] == CYCLED["bt-watchdog"]
    assert records[2]["workers"] == ["w1", "w2"]


def test_a_machine_that_was_restarted_is_told_as_that() -> None:
    elsewhere = replace(identity.mine(), boot_id="another")
    found = before(lives=False, server=Server("bt", "/tmp", elsewhere, SESSIONS))
    assert events(told(found, list(SESSIONS)))[0] == "machine_rebooted tmux"


def test_a_server_that_was_repaired_is_told_since_it_last_answered() -> None:
    hung, mended = told(before(), [], ("tmux -L bt: it was stopped; it was continued",))
    assert (hung["event"], hung["since"]) == ("tmux_hung", "2026-01-01T00:59:00.000Z")
    assert (mended["event"], mended["why"].endswith("it was continued"), mended["for_s"] > 0) == (
        "tmux_repaired",
        True,
        True,
    )


def test_a_first_start_and_one_after_a_stop_are_no_losses() -> None:
    for server in (None, Server("bt", "/tmp")):
        assert told(before(lives=False, server=server, at_work=("w",)), list(SESSIONS)) == []


def test_every_event_is_a_failure_or_a_remedy_and_only_failures_are_remembered() -> None:
    for event in healing.FAILURES:
        assert signatures.of("workflow_events.log", healing.failure(event, "x", "it died")) is not None
    for event in healing.REMEDIES:
        assert signatures.of("workflow_events.log", healing.remedy(event, "x", "me", "it died", 1.0)) is None


def test_the_journal_survives_garbage_and_a_torn_tail(tmp_path: Path) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    assert healing.recent(roots) == ()
    healing.record(roots, SystemClock(), [healing.failure("agent_died", "a", "why")], 1_000_000)
    with roots.healing.open("ab") as file:
        file.write(b"\0no record\xff\n[1]\n{}\n")
    healing.record(roots, SystemClock(), [healing.remedy("agent_respawned", "a", "b", "why", 1.0)], 1_000_000)
    with roots.healing.open("ab") as file:
        file.write(b'{"mark":"torn","event":"agent_d')
    assert events(list(healing.recent(roots))) == ["agent_died a", "agent_respawned a"]
    first = healing.recent(roots)[0]["mark"]
    assert events(list(healing.after(healing.recent(roots), first))) == ["agent_respawned a"]
    assert len(healing.after(healing.recent(roots), "one that was rotated away")) == 2


def test_the_sentry_tells_of_workers_that_it_continues_and_replaces() -> None:
    with yard() as here:
        job = here.enqueued("report")
        launch, child, _ = here.worker(job)
        os.kill(child.pid, signal.SIGSTOP)
        wait_for_stop(child.pid)
        here.cycle()
        child.kill()
        child.wait()
        here.cycle(after_s=15.0)
        here.cycle(after_s=15.0)
        here.ended()
        told_of = [one for one in healing.recent(here.roots) if one["event"].startswith("worker_")]
    assert events(told_of) == [f"worker_continued {launch.worker_id}", f"worker_respawned {job.job_id}"]
    assert [one["by"] for one in told_of] == ["worker_sentry"] * 2
    assert told_of[0]["why"] == "it was stopped (state T)"
    assert told_of[1]["why"] == "the worker and the wrapper that watched it are gone"
    assert all(one["for_s"] >= 0 for one in told_of)


# who tells it on ------------------------------------------------------------------------------------------------------

AT = "2026-01-01T01:00:00.000Z"
PAIR = (
    {"at": AT, "mark": "1", **healing.failure("agent_died", "curator", "its loop was killed, or crashed", AT)},
    {"at": AT, "mark": "2", **healing.remedy("agent_respawned", "curator", "operation_hang_guard", "why", 3.0)},
)


def test_the_watchdog_writes_each_record_down_once() -> None:
    here = world(agents=ALL, healings=PAIR)
    first = watchdog.decide(here, watchdog.Memory(no_gpu_said=True), LIMITS)
    assert [one["event"] for one in first.actions[0].arguments["events"]] == ["agent_died", "agent_respawned"]
    assert watchdog.decide(here, first.memory, LIMITS).actions == ()


def test_an_incident_that_was_over_before_anybody_looked_opens_and_closes() -> None:
    here = world(agents=ALL, healings=PAIR)
    first = manager.decide(here, manager.Memory(stage=manager.stage(here)), LIMITS)
    opened, closed = first.actions[0].arguments["events"]
    assert (opened["event"], opened["id"]) == ("incident_opened", "agent_stale:curator")
    assert (closed["event"], closed["by"], closed["for_s"]) == ("incident_closed", "operation_hang_guard", 3.0)
    assert manager.decide(here, first.memory, LIMITS).actions == ()


def test_an_incident_that_is_open_already_is_not_opened_twice() -> None:
    here = world(agents=ALL, healings=PAIR)
    memory = manager.Memory(open={"agent_stale:curator": AT}, stage=manager.stage(here))
    said = manager.decide(here, memory, LIMITS).actions[0].arguments["events"]
    assert [one["event"] for one in said] == ["incident_closed"]


# what is said of the missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "who", "words"),
    [
        (("curator",), "curator", "operation_hang_guard respawns bt-curator"),
        (("session_state_manager",), "session_state_manager", "operation_hang_guard respawns bt-session-state"),
        (("operation_hang_guard",), "operation_hang_guard", "session_state_manager respawns bt-operation-hang-guard"),
        (("operation_hang_guard", "curator"), "curator", "session_state_manager respawns the hang guard, and that bt-"),
        (("operation_hang_guard", "session_state_manager"), "operation_hang_guard", "the loop of watchdog, or of any"),
        (("operation_hang_guard", "session_state_manager"), "session_state_manager", "the loop of watchdog, or of any"),
        (("operation_hang_guard", "session_state_manager", "watchdog"), "watchdog", "the loop of worker_sentry, or"),
    ],
)
def test_who_respawns_whom_is_true_whoever_else_is_missing(missing: tuple[str, ...], who: str, words: str) -> None:
    found = {one.incident_id: one for one in manager.incidents(world(agents=dead(*missing)), LIMITS)}
    assert set(found) == {f"agent_stale:{name}" for name in missing}
    assert words in found[f"agent_stale:{who}"].remedy
    steps = {step.id: step.what for step in manager.next_steps(world(), list(found.values()))}
    assert words in steps[f"agent_stale:{who}"]


def test_when_nobody_is_left_the_keeper_is_named_where_there_is_one() -> None:
    names = [row.name for row in AGENTS]
    (alone,) = manager.incidents(world(agents=dead(*names)), LIMITS)
    assert (alone.remedy, alone.actionable) == ("type: bash scripts/ensure_swarm_watchdogs.sh", False)
    keeper = KeeperView("process", True)
    (kept,) = manager.incidents(world(agents=dead(*names), keeper=keeper), LIMITS)
    assert ("the keeper, which looks every 60 s, brings them back" in kept.remedy, kept.actionable) == (True, True)
    gone = KeeperView("process", False)
    (both,) = manager.incidents(world(agents=dead(*names), keeper=gone), LIMITS)
    assert both.remedy.startswith("type: ")


def test_one_that_is_started_over_and_over_is_wanting_however_young_its_session() -> None:
    young = agent("curator", "bt-curator", age_s=None, session_age_s=1.0, loop_life="unknown", loop_age_s=None)
    assert not young.is_wanting(LIMITS)
    assert not replace(young, awaited_s=10.0).is_wanting(LIMITS)
    again = replace(young, awaited_s=900.0)
    assert (again.is_wanting(LIMITS), again.is_stale(LIMITS)) == (True, False)
    assert "was started 900 s ago and has not cycled yet" in again.how()
