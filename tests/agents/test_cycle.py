"""The runtime around `decide`, on real files: alone, recorded, repeatable, and careful with what it finds."""

import json
import os
import pkgutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import agents.actions
from agents import registry
from agents.machine import acts
from agents.machine.observe import observe, resolved
from agents.model.action import Action
from agents.runtime import cycle
from config import settings
from config.record import fields
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.host import code
from state.host.clock import SystemClock
from state.records import orders
from state.records.jobs import Job, JobJournal
from tests.agents.worlds import ORDER
from tests.state.test_records import Clock


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    one = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    tree = settings.tree_of(settings.load({}))
    snapshot.write_json(one.settings, tree)
    orders.write(one.swarm_run("bt-1").order, replace(ORDER, settings=tree))
    snapshot.write_json(one.current_run, {"run_id": "bt-1"})
    return one


def jobs(roots: Roots) -> dict[str, str]:
    journal = Journal(roots.swarm_run("bt-1").round(0).jobs)
    return {job_id: state.status for job_id, state in JobJournal(journal, Clock()).states().items()}


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(roots: Roots) -> None:
    before = {path: path.read_bytes() for path in roots.state.rglob("*") if path.is_file()}
    done = cycle.run_cycle("auto_scheduler", roots, dry_run=True)
    assert [action["kind"] for action in done.actions] == ["enqueue_jobs"]
    assert {path: path.read_bytes() for path in roots.state.rglob("*") if path.is_file()} == before


def test_twice_on_one_state_acts_once(roots: Roots) -> None:
    first = cycle.run_cycle("auto_scheduler", roots)
    assert [action["outcome"] for action in first.actions] == ["done"]
    assert jobs(roots) == {"r0.SOL.aggressive.preflight.0": "pending", "r0.BTC.aggressive.preflight.0": "pending"}
    assert cycle.run_cycle("auto_scheduler", roots).actions == ()
    state = json.loads(roots.agent_state("auto_scheduler").read_text())
    assert (state["schema"], state["cycle"], state["actions_last_cycle"]) == (1, 2, [])
    assert state["actions_before"][0]["expected"] == "the round is under way"


def test_a_record_says_whose_it_is_and_its_epoch_rises_with_every_new_loop(roots: Roots) -> None:
    def record() -> dict[str, Any]:
        found = snapshot.read_json(roots.agent_state("auto_scheduler"))
        assert isinstance(found, dict)
        return found

    for _ in range(2):
        cycle.run_cycle("auto_scheduler", roots)
        assert record()["epoch"] == 1
    assert {"schema", "writer", "cycle", "at", "at_s", "actions_last_cycle", "verified_last_cycle"} <= set(record())
    for epoch in (2, 3):  # each is run by a process of its own, as loops are
        command = (
            "import subprocess, sys; subprocess.run([sys.executable, '-m', 'agents', 'auto_scheduler'], check=True)"
        )
        environment = {"RESULTS_ROOT": str(roots.results), "PATH": os.environ["PATH"]}
        subprocess.run([sys.executable, "-c", command], cwd=CHECKOUT, env=environment, check=True, timeout=60)
        assert (record()["epoch"], record()["cycle"]) == (epoch, epoch + 1)


def test_what_was_recorded_is_decided_again_byte_for_byte(roots: Roots) -> None:
    for name in ("auto_scheduler", "session_state_manager"):
        cycle.run_cycle(name, roots)
        command = [sys.executable, "-m", "agents", name, "--replay", str(roots.cycles(name))]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "1 recorded decisions are the same, 0 differ\n"), done.stderr


@pytest.mark.parametrize("of_before", [{}, {"world": {"now": 7}}, {"limits": 7}], ids=["all", "world", "limits"])
def test_what_other_code_decided_otherwise_is_told_apart_and_is_no_difference(
    roots: Roots, of_before: dict[str, Any]
) -> None:
    """After an upgrade in mid-run a journal holds decisions of both."""
    cycle.run_cycle("auto_scheduler", roots)
    (record,) = Journal(roots.cycles("auto_scheduler")).read().records
    assert record["code"] == code.running() != ""
    journal = Journal(roots.state / "mixed.jsonl")
    otherwise = {**record, "decision": {**record["decision"], "reason": "as it was decided then"}}
    journal.append(record, {**otherwise, "code": "before", **of_before})
    both = "1 recorded decisions are the same, 0 differ, 1 were decided otherwise by other code\n"
    assert replayed(journal) == (0, both)
    journal.append(otherwise)
    status, said = replayed(journal)
    assert (status, "1 recorded decisions are the same, 1 differ" in said) == (1, True)


def replayed(journal: Journal) -> tuple[int, str]:
    command = [sys.executable, "-m", "agents", "auto_scheduler", "--replay", str(journal.path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("agent", "kind", "log"),
    [
        ("watchdog", "write_events", "workflow_events.log"),
        ("session_state_manager", "write_incidents", "session_state_manager_events.jsonl"),
        ("session_log", "write_line", "session_state_bt-1.jsonl"),
    ],
)
def test_that_a_line_is_on_file_is_looked_up_in_the_next_cycle(roots: Roots, agent: str, kind: str, log: str) -> None:
    def verified() -> Any:
        cycle.run_cycle(agent, roots)
        rows = json.loads(roots.agent_state(agent).read_text())["verified_last_cycle"]
        return [row["holds"] for row in rows if row["kind"] == kind]

    assert verified() == []
    before = roots.agent_state(agent).read_bytes()
    aside = (roots.state / log).rename(roots.state / f"{log}.1")
    assert verified() == [True]  # rotated in between, it is on file all the same
    snapshot.write_bytes(roots.agent_state(agent), before)
    for one in (aside, roots.state / log):
        one.unlink(missing_ok=True)
    assert verified() == [False]


def test_the_latest_line_lies_beside_the_log_with_the_name_of_its_writer(roots: Roots) -> None:
    cycle.run_cycle("session_log", roots)
    line = Journal(roots.session_log("bt-1")).last()
    latest = snapshot.read_json(roots.session_latest)
    assert isinstance(latest, dict)
    writer = latest.pop("writer")
    assert latest == line
    assert writer["pid"] == os.getpid()


def test_a_death_that_was_told_later_than_it_happened_is_on_file(roots: Roots) -> None:
    cycle.run_cycle("watchdog", roots)
    journal = JobJournal(Journal(roots.swarm_run("bt-1").round(0).jobs), Clock())
    one = Job(0, "SOL", "aggressive", "preflight")
    journal.enqueue([one])
    journal.started(one.job_id, 1, "w", "cpu0")
    journal.died(one.job_id, "killed by signal 9", 0, 0, 0.0)
    cycle.run_cycle("watchdog", roots, clock=Later())
    cycle.run_cycle("watchdog", roots, clock=Later())
    (row,) = json.loads(roots.agent_state("watchdog").read_text())["verified_last_cycle"]
    assert (row["kind"], row["holds"]) == ("write_events", True)


class Later(SystemClock):
    """Ten seconds ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=10)


def test_a_quiet_cycle_costs_one_short_line(roots: Roots) -> None:
    for _ in range(3):
        cycle.run_cycle("auto_scheduler", roots)
    lines = roots.cycles("auto_scheduler").read_text().splitlines()
    assert [("world" in json.loads(line)) for line in lines] == [True, True, False]
    assert len(lines[2]) < 200


def test_two_cycles_of_one_agent_never_overlap(roots: Roots) -> None:
    roots.cycle_lock("auto_scheduler").parent.mkdir(parents=True)
    with FileLock(roots.cycle_lock("auto_scheduler")), pytest.raises(cycle.Held):
        cycle.run_cycle("auto_scheduler", roots)


def test_state_of_a_newer_version_is_never_overwritten(roots: Roots) -> None:
    newer = {"schema": 2, "what": "we do not know"}
    snapshot.write_json(roots.agent_state("auto_scheduler"), newer)
    with pytest.raises(cycle.NewerSchema, match="schema 2"):
        cycle.run_cycle("auto_scheduler", roots)
    assert snapshot.read_json(roots.agent_state("auto_scheduler")) == newer


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"memory": 7, "cycle": 3}'])
def test_state_that_is_lost_or_torn_is_made_anew(roots: Roots, garbage: str) -> None:
    roots.agent_state("worker_sentry").write_text(garbage)
    cycle.run_cycle("worker_sentry", roots)
    assert json.loads(roots.agent_state("worker_sentry").read_text())["memory"]["tried"]["silent"] == {}


def test_an_action_that_fails_is_recorded_and_seen(roots: Roots) -> None:
    roots.swarm_run("bt-1").round(0).path.write_text("a file where a folder belongs")
    done = cycle.run_cycle("auto_scheduler", roots)
    assert done.actions[0]["outcome"].startswith("failed: ")
    seen = next(view for view in observe(roots, resolved(roots).swarm).agents if view.agent == "auto_scheduler")
    assert "enqueue_jobs" in seen.failed


def test_settings_of_another_version_do_not_stop_anybody(roots: Roots) -> None:
    tree = settings.tree_of(settings.load({}))
    tree["swarm"]["lanes"].pop("memory_mb")
    tree["swarm"]["of_another_version"] = tree["swarm"]["lanes"]["of_another_version"] = 7
    assert settings.of_tree(tree) == settings.load({})
    snapshot.write_json(roots.settings, tree)
    assert resolved(roots).swarm == settings.load().swarm


def test_settings_come_back_from_json_as_they_were() -> None:
    one = settings.load({})
    assert settings.of_tree(json.loads(json.dumps(settings.tree_of(one)))) == one


def test_a_lost_pointer_to_the_run_is_found_again(roots: Roots) -> None:
    roots.current_run.unlink()
    order = orders.current(roots)
    assert order is not None
    assert order.run_id == "bt-1"
    snapshot.write_json(roots.swarm_run("bt-1").finished, {})
    assert orders.current(roots) == order, "a run that is complete is not a run that never was"


def test_a_damaged_journal_is_reported_and_its_whole_lines_count(roots: Roots) -> None:
    journal = Journal(roots.swarm_run("bt-1").round(0).jobs)
    JobJournal(journal, Clock()).enqueue([Job(0, "SOL", "aggressive", "preflight")])
    with journal.path.open("ab") as file:
        file.write(b"\0\0garbage\n")
    world = observe(roots, resolved(roots).swarm)
    assert (len(world.jobs), world.bad_lines) == (1, 1)


def kinds() -> list[type[Action]]:
    """Every kind of action that there is, owned or not."""
    for module in pkgutil.iter_modules(agents.actions.__path__):
        import_module(f"agents.actions.{module.name}")
    return Action.__subclasses__()


def test_every_kind_of_action_is_owned_carried_out_and_named_once() -> None:
    owned = {kind for row in (*registry.AGENTS, registry.RESCUE) for kind in row.load().owns}
    assert set(kinds()) == owned, "name each kind in OWNS of the agent that does it"
    assert len({kind.kind for kind in kinds()}) == len(kinds())
    assert set(kinds()) == acts.KINDS, "give each kind its deed in agents/machine/acts.py"


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.kind)
def test_a_kind_of_action_says_what_it_does_what_it_expects_and_what_is_asked(kind: type[Action]) -> None:
    assert kind.__doc__
    assert kind.came_true.__doc__
    assert kind.expects
    names = {one.name for one in fields(kind)}
    assert not kind.on or kind.on in names
    assert kind.on or kind.always or "target" in vars(kind), "nothing says what it is done to"
    if "expected" not in vars(kind):
        assert "…" not in kind.expects


def test_every_kind_of_action_has_one_owner_or_is_said_to_be_shared() -> None:
    owners: dict[str, list[str]] = {}
    for row in (*registry.AGENTS, registry.RESCUE):
        for kind in row.load().owns:
            owners.setdefault(kind.kind, []).append(row.name)
    shared = {kind for kind, names in owners.items() if len(names) > 1}
    # each answers requests for its own targets
    assert shared == {"answer_request"}, "say in the report what should be done: its owner reads that and decides"
