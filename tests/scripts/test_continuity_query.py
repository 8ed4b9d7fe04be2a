"""`session_state_manager.py --query`: its answer is current, or it says how old it is and ends with exit code 1."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agents.roles import session_state_manager as manager
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host.clock import SystemClock, stamp
from state.host.identity import boot_id, mine
from state.records import orders, standing
from state.records.jobs import (
    PHASES,
    Job,
    JobJournal,
    compacted,
    fold,
)
from state.records.report_parts import on_record
from tests.agents.worlds import LIMITS, ORDER, world

SCRIPT = CHECKOUT / "scripts" / "infra" / "session_state_manager.py"
SCHEMA = json.loads((CHECKOUT / "docs" / "reference" / "schemas" / "continuity.schema.json").read_text("utf-8"))
RUN = "bt-20260101_000000Z"
UNITS = (("SOL", "aggressive"), ("BTC", "aggressive"))
FRESH_S = 90.0


class Place:
    """A state root with one run, as its agents write it."""

    def __init__(self, folder: Path) -> None:
        self.roots = Roots.from_environment({"RESULTS_ROOT": str(folder)})
        self.order = replace(ORDER, run_id=RUN)
        orders.write(self.roots.swarm_run(RUN).order, self.order)
        snapshot.write_json(self.roots.current_run, {"run_id": RUN})
        file = self.roots.agent_state("session_state_manager").name
        snapshot.write_json(self.roots.swarm, {"fresh_for_s": {file: FRESH_S}})
        self.journal = JobJournal(Journal(self.roots.swarm_run(RUN).round(0).jobs), SystemClock())

    def does(self, unit: tuple[str, str], *phases: str, ends: bool = False) -> None:
        """Take a symbol and mode through these phases; the job of the last phase goes on running unless it `ends`."""
        for phase in phases:
            job = Job(0, *unit, phase)  # type: ignore[arg-type]
            self.journal.enqueue([job])
            self.journal.started(job.job_id, 1, f"{job.job_id}.e1", "cpu0")
            if ends or phase != phases[-1]:
                self.journal.completed(job.job_id, {}, [])

    def manager_cycles(self, age_s: float = 0.0, **values: Any) -> None:
        """Write the manager's record of the run as it stands now; `values` replace fields of the record."""
        finished = self.roots.swarm_run(RUN).finished.exists()
        seen = world(order=self.order, jobs=tuple(self.journal.states().values()), run_finished=finished)
        record = {
            "at": stamp(SystemClock().now()),
            "at_s": time.monotonic() - age_s,
            "boot_id": boot_id(),
            "cycle": 9,
            "report": on_record(manager.decide(seen, manager.Memory(), LIMITS).report),
        }
        snapshot.write_json(self.roots.agent_state("session_state_manager"), record | values)
        snapshot.write_json(self.roots.loop("session_state_manager"), {"identity": tree_of(mine()), "began_s": 1.0})

    def finishes(self) -> None:
        for unit in UNITS:
            self.does(unit, *PHASES, ends=True)
        finished = {"finished_at": stamp(SystemClock().now()), "why": "its one round is done"}
        snapshot.write_json(self.roots.swarm_run(RUN).finished, finished)

    def asked(self, *words: str) -> "subprocess.CompletedProcess[str]":
        bare = getattr(sys, "_base_executable", sys.executable)
        file = self.roots.agent_state("session_state_manager")
        command = [bare, "-I", "-S", str(SCRIPT), "--query", "--state-file", str(file), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def answer(self, code: int = 0) -> dict[str, Any]:
        """`--query --json`, held against its schema."""
        done = self.asked("--json")
        assert done.returncode == code, done.stdout + done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        jsonschema.validate(said, SCHEMA)
        return said


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path)


def test_the_stage_is_of_now_however_old_the_record_is(place: Place) -> None:
    place.does(UNITS[0], "preflight")
    place.manager_cycles(age_s=19.0)
    place.does(UNITS[0], "preflight", "prescreen", "merge", "search")
    place.does(UNITS[1], "preflight", ends=True)
    said = place.answer()
    assert (said["stage"], said["units"]) == (
        "1 searching, 1 waiting to prescreen",
        {"searching": 1, "waiting to prescreen": 1},
    )
    assert said["next_steps"][-1]["why"] == "1 job of round 1 is open"
    assert 19.0 <= said["age_s"] < FRESH_S
    assert "its manager looked " in place.asked().stdout


def test_right_after_the_end_it_is_complete_although_its_manager_has_not_looked_since(place: Place) -> None:
    place.does(UNITS[0], "preflight")
    place.manager_cycles(age_s=19.0)
    place.finishes()
    said = place.answer()
    assert said["stage"] == "complete"
    assert [step["id"] for step in said["next_steps"]] == ["read_results", manager._IDLE]
    assert place.asked().stdout.splitlines()[1] == "  → scripts/backtest-optimize results (all rounds are done)"
    place.manager_cycles()
    assert place.answer()["next_steps"] == said["next_steps"], "the manager itself says the same"


def test_a_run_that_began_after_the_record_is_not_answered_with_the_one_before(place: Place) -> None:
    wrong = {"id": "disk_full", "what": "1 MB are free", "remedy": "make room", "actionable": False, "since": "x"}
    report = {"run_id": "bt-old", "stage": "complete", "round": 3, "next_steps": [], "incidents": [wrong]}
    place.does(UNITS[0], "preflight")
    place.manager_cycles(report=report)
    said = place.answer()
    assert (said["run_id"], said["round"], said["incidents"]) == (RUN, 0, [])
    assert said["stage"] == "1 in preflight, 1 waiting for preflight"


@pytest.mark.parametrize("how", ["late", "killed", "another boot", "an earlier boot's file"])
def test_a_record_that_nobody_keeps_up_is_said_to_be_old_and_is_an_error(place: Place, how: str) -> None:
    place.does(UNITS[0], "preflight")
    place.manager_cycles(age_s=300.0 if how == "late" else 5.0)
    if how == "killed":
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            gone = {**tree_of(mine()), "pid": child.pid, "start_ticks": 1}
            child.kill()
        snapshot.write_json(place.roots.loop("session_state_manager"), {"identity": gone, "began_s": 1.0})
    if how == "another boot":
        place.manager_cycles(boot_id="b", at="2026-01-01T00:00:00.000Z")
    if how == "an earlier boot's file":
        place.manager_cycles(boot_id="b")
    said = place.answer(code=1)
    words = {
        "late": "5 min ago, more than the usual 90 s: it does not cycle",
        "killed": "s ago, and its loop is dead",
        "another boot": "ago, before this machine was restarted",
        "an earlier boot's file": "s ago, before this machine was restarted",
    }[how]
    assert words in said["stale"]
    assert [one["id"] for one in said["incidents"]] == ["agent_stale:session_state_manager"]
    assert [(one["id"], one["what"]) for one in said["next_steps"]] == [
        ("agent_stale:session_state_manager", "type: bash scripts/ensure_swarm_watchdogs.sh")
    ]
    assert said["expected_outcomes"] == []
    assert said["stage"] == "1 in preflight, 1 waiting for preflight", "that is read from the journal"
    done = place.asked()
    assert (done.returncode, "nothing to do by hand" in done.stdout) == (1, False)
    assert f"! incidents and next steps may be out of date: {said['stale'][:20]}" in done.stdout


def test_incidents_of_an_old_record_stay_behind_its_age(place: Place) -> None:
    place.does(UNITS[0], "preflight")
    place.manager_cycles()
    state = snapshot.read_json(place.roots.agent_state("session_state_manager"))
    assert isinstance(state, dict)
    wrong = {"id": "disk_full", "what": "1 MB are free", "remedy": "make room", "actionable": False, "since": "x"}
    step = {"id": "disk_full", "what": "make room", "why": "1 MB are free", "actionable": False}
    report = {**state["report"], "incidents": [wrong], "next_steps": [step]}
    place.manager_cycles(age_s=300.0, report=report)
    said = place.answer(code=1)
    assert [one["id"] for one in said["incidents"]] == ["agent_stale:session_state_manager", "disk_full"]
    assert [one["id"] for one in said["next_steps"]] == ["agent_stale:session_state_manager", "disk_full"]


def test_after_a_stop_nobody_is_to_cycle_and_nothing_is_old(place: Place) -> None:
    place.does(UNITS[0], "preflight")
    place.manager_cycles(age_s=100_000.0)
    snapshot.write_json(place.roots.tombstone, {"at": "2026-01-01T00:00:00.000Z", "by": "me"})
    said = place.answer()
    assert (said["stage"], said["stale"], said["units"]) == ("stopped", None, {"in preflight": 1} | said["units"])
    assert said["next_steps"][0]["what"] == "scripts/backtest-optimize start"
    place.finishes()
    assert place.answer()["next_steps"][0]["what"] == "scripts/backtest-optimize results"
    place.roots.agent_state("session_state_manager").unlink()
    said = place.answer()
    assert (said["stage"], said["at"], said["age_s"]) == ("stopped", None, None)


def test_what_was_never_started_and_what_is_no_state_are_refused_with_a_way_out(place: Place) -> None:
    done = place.asked("--json")
    assert (done.returncode, "has not cycled yet" in json.loads(done.stdout)["error"]) == (1, True)
    assert "ask again in a moment" in json.loads(done.stdout)["way_out"]
    place.roots.swarm.unlink()
    assert "No such file or directory\n  → start the swarm" in place.asked().stderr
    jsonschema.validate(json.loads(done.stdout), SCHEMA)
    for text in ("", "[]", '{"at": 1}', '{"at": "x", "cycle": 1, "report": null}'):
        place.roots.agent_state("session_state_manager").write_text(text, encoding="utf-8")
        done = place.asked()
        assert (done.returncode, done.stderr.startswith("error: ")) == (1, True), text
        assert "Traceback" not in done.stderr
    assert "start_swarm_watchdogs.sh" in done.stderr


def test_a_journal_with_garbage_and_files_that_are_gone_are_put_up_with(place: Place) -> None:
    place.does(UNITS[0], "preflight", "prescreen")
    place.manager_cycles()
    path = place.roots.swarm_run(RUN).round(0).jobs
    with path.open("ab") as file:
        file.write(b'\x00\x00\n[1]\n{"event":"completed"}\n{"event":"enqueued","job":3}\n{"event":"started","job_')
    assert place.answer()["stage"] == "1 prescreening, 1 waiting for preflight"
    for one in (place.roots.swarm, place.roots.current_run, path):
        one.unlink()
    assert place.answer()["stage"] == "scheduling"
    place.roots.swarm_run(RUN).order.unlink()
    assert place.answer()["stage"] == "1 prescreening, 1 waiting for preflight", "a copy of the file is answered by it"


def test_it_replays_the_journal_as_the_agents_do() -> None:
    """Every event that is written, in every order that a short random walk finds, whole and compacted."""
    from random import Random

    for seed in range(60):
        rows = _walk(Random(seed))
        for records in (rows, compacted(rows), [*compacted(rows[: len(rows) // 2]), *rows[len(rows) // 2 :]]):
            mine_, theirs = standing.jobs(records), fold(records)
            assert {name: (job.unit, job.phase, job.status, job.hand) for name, job in mine_.items()} == {
                name: (state.job.unit, state.job.phase, state.status, state.job.hand) for name, state in theirs.items()
            }, seed


def _walk(random: Any) -> list[dict[str, Any]]:
    jobs = [Job(0, symbol, "aggressive", phase, shard) for symbol in "AB" for phase in PHASES[:3] for shard in (0, 1)]
    rows: list[dict[str, Any]] = []
    for number in range(80):
        job = random.choice(jobs)
        event = random.choice(
            ("enqueued", "started", "completed", "died", "failed", "cancelled", "quarantined", "withdrawn", "reopened")
        )
        row: dict[str, Any] = {"at": f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000Z", "event": event}
        row |= {"job": tree_of(job)} if event == "enqueued" else {"job_id": job.job_id}
        row |= {"epoch": 1, "worker_id": "w", "lane": "cpu0"} if event == "started" else {}
        row |= {"metrics": {}, "gates": []} if event == "completed" else {}
        row |= {"error_message": "x", "deaths": 1, "last_done": 1, "retry_at_s": 1.0, "boot_id": "b"}
        rows.append(row)
    return rows


def test_every_phase_has_its_words() -> None:
    assert tuple(standing.WORDS) == PHASES


def test_it_costs_no_more_than_a_python_with_json(place: Place) -> None:
    """Modules that cost milliseconds have no place in what shell start-up may ask."""
    place.does(UNITS[0], "preflight")
    place.manager_cycles()
    bare = getattr(sys, "_base_executable", sys.executable)
    file = place.roots.agent_state("session_state_manager")
    code = (
        "import sys; sys.argv[1:] = ['--query', '--state-file', sys.argv[1]]\n"
        f"try: exec(open({str(SCRIPT)!r}).read(), {{'__name__': '__main__', '__file__': {str(SCRIPT)!r}}})\n"
        "except SystemExit: pass\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    command = [bare, "-I", "-S", "-c", code, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
    loaded = set(json.loads(done.stderr.strip().splitlines()[-1].replace("'", '"')))
    assert loaded & {"datetime", "typing", "pathlib", "state.records.jobs", "config.record", "subprocess"} == set()
    assert {"state.records.standing", "scripts.infra.continuity"} <= loaded
