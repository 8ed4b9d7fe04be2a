"""`explain --agent` and `--session`: what an agent did and why, whether it lives, and who brought it back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agents.machine.observe import observe
from agents.model.world import SessionView, World
from agents.registry import AGENTS, MONITORS
from config.errors import Refused
from scripts.swarm.explain import agents, command
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host.clock import SystemClock
from state.host.identity import boot_id, mine
from state.records import healing
from tests.agents.worlds import LIMITS, limits_with

SCHEMA = json.loads((CHECKOUT / "docs" / "reference" / "schemas" / "explain.schema.json").read_text(encoding="utf-8"))
AT = "2026-01-01T00:00:{:02}.000Z"


class Place:
    """A state root in which one agent has cycled."""

    def __init__(self, folder: Path) -> None:
        self.roots = Roots.from_environment({"RESULTS_ROOT": str(folder)})

    def cycles(self, name: str, *reasons: str, actions: tuple[dict[str, Any], ...] = ()) -> None:
        """A cycle a reason, one second apart; the last one acts."""
        for number, reason in enumerate(reasons, start=1):
            record: dict[str, Any] = {"cycle": number, "at": AT.format(number), "agent": name, "reason": reason}
            if actions and number == len(reasons):
                record |= {"world": {"jobs": ["x" * 70_000]}, "memory": {}, "decision": {"actions": list(actions)}}
            Journal(self.roots.cycles(name)).append(record)
        now_s = SystemClock().monotonic_s()
        state = {"at": AT.format(len(reasons)), "at_s": now_s - 3.0, "boot_id": boot_id(), "epoch": 2}
        did = [{**one, "outcome": "done"} for one in actions]
        state |= {"cycle": len(reasons), "reason": reasons[-1], "actions_last_cycle": did}
        snapshot.write_json(self.roots.agent_state(name), state)
        self.loop(name)

    def loop(self, name: str, **identity: Any) -> None:
        record = {"identity": tree_of(mine()) | identity, "began_s": SystemClock().monotonic_s() - 60.0}
        snapshot.write_json(self.roots.loop(name), record)

    def look(self, *there: str) -> World:
        return replace(observe(self.roots, LIMITS), sessions=tuple(SessionView(name, True, "") for name in there))

    def said(self, named: agents.Named, world: World) -> tuple[list[agents.Evidence], str]:
        chain = agents.chain(self.roots, named, world)
        return chain, agents.answer(self.roots, named, world, LIMITS, chain)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_one_that_did_nothing_says_why_and_equal_cycles_are_told_as_one(place: Place) -> None:
    place.cycles("worker_sentry", *(f"{n} workers run; nothing waits" for n in range(1, 10)))
    chain, said = place.said(agents.agent("worker_sentry", LIMITS), place.look("bt-worker-sentry"))
    cycles = [one for one in chain if one.who == "worker_sentry" and one.what.startswith("cycle")]
    assert [(one.what, one.why) for one in cycles] == [
        ("cycles 1 to 9, the first at 00:00:01: nothing", "9 workers run; nothing waits")
    ]
    assert said.startswith("worker_sentry cycles every 15 s: cycle 9 was 0:03 ago, its loop runs for 1:00; ")
    assert "bt-worker-sentry is there; it did nothing in its last cycle because: 9 workers run; nothing waits." in said
    assert any(one.what == "writes worker_sentry_state.json, cycle 9, by its process number 2" for one in chain)
    assert any(one.what.startswith("its loop begins, pid ") for one in chain)


def test_one_that_acted_says_what_it_did_and_what_came_of_it(place: Place) -> None:
    deed = {"kind": "kill_worker", "target": "r0.SOL.aggressive.search.0.e1.abc", "expected": "gone"}
    place.cycles("worker_sentry", "1 worker runs", "1 worker is hung", actions=(deed,))
    chain, said = place.said(agents.agent("bt-worker-sentry", LIMITS), place.look("bt-worker-sentry"))
    told = {one.what: one.why for one in chain}
    assert told[f"cycle 2: kill_worker {deed['target']}"] == "1 worker is hung"
    assert told[f"did: kill_worker {deed['target']}"] == "done"
    assert f"its last cycle did kill_worker {deed['target']} because: 1 worker is hung." in said


def test_a_dead_one_says_so_with_the_way_out_and_who_brought_it_back_before(place: Place) -> None:
    place.cycles("curator", "all is written")
    for name in ("operation_hang_guard", "worker_sentry"):
        place.cycles(name, "all is well")
    deed = {"kind": "ensure_sessions", "target": "all", "arguments": {"respawn": ["bt-curator"]}}
    place.cycles("operation_hang_guard", "all sessions are there", "bt-curator is stale", actions=(deed,))
    place.loop("curator", start_ticks=1)
    chain, said = place.said(agents.session("curator", LIMITS), place.look("bt-watchdog"))
    assert said.startswith("curator does not cycle: its loop is dead, cycle 1 was 0:03 ago; bt-curator is not there; ")
    assert "operation_hang_guard brought it back at 00:00:02 UTC because bt-curator is stale" in said
    assert said.endswith("respawns bt-curator.") or "ensure_swarm_watchdogs.sh" in said
    assert any((one.who, one.why) == ("operation_hang_guard", "bt-curator is stale") for one in chain)


def test_the_journal_of_healing_says_how_it_died_and_who_brought_it_back(place: Place) -> None:
    place.cycles("curator", "all is written")
    what = "its loop was killed, or crashed"
    records = [
        healing.failure("agent_died", "curator", what, AT.format(1), session="bt-curator"),
        healing.remedy("agent_respawned", "curator", "worker_sentry", what, 12.4, session="bt-curator"),
        healing.failure("agent_died", "watchdog", "of another", AT.format(1), session="bt-watchdog"),
    ]
    healing.record(place.roots, SystemClock(), records, 1_000_000)
    for one in healing.recent(place.roots):  # as the watchdog tells them on
        Journal(place.roots.events).append(dict(one))
    chain, said = place.said(agents.session("bt-curator", LIMITS), place.look("bt-curator"))
    told = [(one.who, one.what, one.why) for one in chain if one.source == "healing.jsonl"]
    assert told == [
        ("found", f"agent died: {what}", "the last sign of life was at 00:00:01"),
        ("worker_sentry", "agent respawned", f"{what}; 12 s after its last sign of life"),
    ]
    assert not [one for one in chain if "died" in one.what and one.source != "healing.jsonl"], "told twice"
    assert f"worker_sentry brought it back at {chain[-2].at[11:19]} UTC because {what}; 12 s after" in said


def test_a_tmux_that_died_brought_everybody_back_later_than_an_own_death_did(place: Place) -> None:
    """What brings all back only counts them; that workers were adopted is no coming back of their sentry."""
    place.cycles("worker_sentry", "1 worker runs")
    what, fell = "its loop was killed, or crashed", "the tmux server is dead"
    both = ["bt-curator", "bt-worker-sentry"]
    records = [
        healing.failure("agent_died", "worker_sentry", what, AT.format(1), session="bt-worker-sentry"),
        healing.remedy("agent_respawned", "worker_sentry", "operation_hang_guard", what, 12.0, session=both[1]),
        healing.failure("tmux_died", "tmux", fell, AT.format(2), sessions=both),
        healing.remedy("tmux_respawned", "tmux", "the keeper", fell, 3.0, sessions=2),
        healing.remedy("workers_adopted", "worker_sentry", "the keeper", "its workers ran on", 3.0, workers=["w"]),
        healing.failure("tmux_died", "tmux", fell, AT.format(3), sessions=["bt-of-others"]),
        healing.remedy("tmux_respawned", "tmux", "nobody", fell, 3.0, sessions=1),
    ]
    healing.record(place.roots, SystemClock(), records, 1_000_000)
    chain, said = place.said(agents.agent("worker_sentry", LIMITS), place.look("bt-worker-sentry"))
    assert [one.who for one in chain if one.what == "tmux respawned"] == ["the keeper"]
    assert f" UTC because {fell}; 3 s after its last sign of life." in said
    assert "the keeper brought it back at" in said


def test_one_whose_routine_is_to_write_did_not_do_nothing(place: Place) -> None:
    line = {"kind": "write_line", "target": "bt-1", "expected": "the line is on file"}
    place.cycles("session_log", "writes its line", "writes its line", actions=(line,))
    chain, said = place.said(agents.agent("session_log", LIMITS), place.look("bt-session-log"))
    told = [one.what for one in chain if one.who == "session_log" and one.what.startswith("cycle")]
    assert told == ["cycles 1 to 2, the first at 00:00:01: nothing but its routine (write_line)"]
    assert "; it did nothing but its routine (write_line) in its last cycle because: writes its line." in said


def test_a_stop_a_first_time_and_a_monitor_have_their_words(place: Place) -> None:
    watchdog = agents.agent("watchdog", LIMITS)
    assert "watchdog has never run here; scripts/backtest-optimize --parallel" in place.said(watchdog, place.look())[1]
    monitor = agents.session("worker-cpu-mon", LIMITS)
    chain, said = place.said(monitor, place.look("bt-worker-cpu-mon"))
    assert said.startswith("bt-worker-cpu-mon is there: it shows every core, and who uses it; ")
    assert "attach bt-worker-cpu-mon" in said
    assert chain[-1].what == "bt-worker-cpu-mon is there"
    unknown = replace(place.look(), sessions=None)
    assert "tmux gave no answer" in place.said(monitor, unknown)[1]
    snapshot.write_json(place.roots.tombstone, {"at": "x", "by": "me"})
    assert place.said(watchdog, place.look())[1] == (
        "bt-watchdog does not run: me stopped the swarm; type scripts/backtest-optimize start."
    )


def test_every_name_there_is_is_understood_and_every_other_is_refused_with_the_list() -> None:
    for row in AGENTS:
        for name in (row.name, row.session, row.name.replace("_", "-"), row.name.upper()):
            assert agents.agent(name, LIMITS).row is row
            assert agents.session(name, LIMITS).session == row.session
    for monitor in MONITORS:
        assert agents.session(monitor.session, LIMITS).monitor is monitor
        with pytest.raises(Refused, match="is a monitor") as refused:
            agents.agent(monitor.session, LIMITS)
        assert refused.value.way_out == f"scripts/backtest-optimize explain --session {monitor.session}"
    with pytest.raises(Refused, match="there is no agent 'wachdog'") as refused:
        agents.agent("wachdog", LIMITS)
    assert refused.value.way_out.startswith("did you mean: watchdog; agents: watchdog, worker_sentry")
    with pytest.raises(Refused, match="there is no session ''") as refused:
        agents.session("", LIMITS)
    assert all(monitor.session in refused.value.way_out for monitor in MONITORS)
    with pytest.raises(Refused, match=r"curator is not at work: the setting swarm\.agents\.advisers is false"):
        agents.agent("curator", limits_with(agents={"advisers": False}))


def test_the_command_answers_in_the_form_of_its_schema(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(place.roots.results))
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        monkeypatch.delenv(name, raising=False)
    place.cycles("auto_scheduler", "there is no run")
    for words, kind, name in (
        (("--agent", "bt-auto-scheduler"), "agent", "auto_scheduler"),
        (("--session", "auto_scheduler"), "session", "bt-auto-scheduler"),
    ):
        assert command.main([*words, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        jsonschema.validate(found, SCHEMA)
        assert (found["kind"], found["id"]) == (kind, name)
        assert [one["at"] for one in found["evidence"]] == sorted(one["at"] for one in found["evidence"])
