"""The curator on real files: idempotent, deduplicated, and nothing lost whenever it is killed."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.machine import documents as writing
from agents.runtime import cycle
from config import settings
from state.files import codec, snapshot
from state.files.journal import Journal
from state.files.knowledge import KnowledgeFolder
from state.files.layout import CHECKOUT, Roots
from state.records import orders, request
from tests.agents.worlds import ORDER


class Clock:
    """A clock that is a minute later at each question."""

    def __init__(self) -> None:
        self.cycles = 0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=self.cycles)

    def monotonic_s(self) -> float:
        return 1_000.0 + 60.0 * self.cycles


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    one = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    tree = settings.tree_of(settings.load({}))
    snapshot.write_json(one.settings, tree)
    orders.write(one.swarm_run("bt-1").order, replace(ORDER, settings=tree))
    snapshot.write_json(one.current_run, {"run_id": "bt-1"})
    Journal(one.events).append(*(died(number) for number in range(5)), died(5, 11))
    Journal(one.session_events).append({"event": "incident_opened", "id": "disk_full", "what": "9 MB are free"})
    wish(one)
    return one


def wish(roots: Roots) -> None:
    said = {"run_id": "bt-1", "findings": ["Done."]}
    request.ask(roots.requests, Clock(), "add_findings", "H.md", "handoff", said, for_s=1e9)


def died(number: int, by: int = 9) -> dict[str, Any]:
    return {
        "at": f"2026-01-01T00:00:{number:02}.000Z",
        "event": "died",
        "job_id": f"r{number}.SOL.aggressive.prescreen.0",
        "error_message": f"killed by signal {by}",
    }


def documents(roots: Roots) -> KnowledgeFolder:
    return roots.knowledge("")


def held(roots: Roots) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in documents(roots).path.iterdir()}


def settle(roots: Roots) -> Clock:
    clock = Clock()
    for clock.cycles in range(4):
        cycle.run_cycle("curator", roots, clock=clock)
    return clock


def test_a_thousand_cycles_on_one_state_change_not_a_byte(roots: Roots) -> None:
    clock = settle(roots)
    before = held(roots)
    assert len(before) == 4
    for clock.cycles in range(4, 1_004):
        assert cycle.run_cycle("curator", roots, clock=clock).actions == ()
    assert held(roots) == before


def test_failures_of_one_kind_are_one_entry_with_bounded_examples(roots: Roots) -> None:
    settle(roots)
    entries = json.loads(documents(roots).failures.read_text())
    assert [(one["kind"], one["count"]) for one in entries] == [
        ("died prescreen", 5),
        ("died prescreen", 1),
        ("incident_opened disk_full", 1),
    ]
    first = entries[0]
    assert (first["first_seen"][17:19], first["last_seen"][17:19], len(first["examples"])) == ("00", "04", 3)
    Journal(roots.events).append(*(died(number) for number in range(6, 9)))
    settle(roots)
    again = json.loads(documents(roots).failures.read_text())
    assert (again[0]["count"], again[0]["examples"], again[1:]) == (8, first["examples"], entries[1:])


def test_a_log_that_moved_aside_is_read_to_its_end_and_goes_on(roots: Roots) -> None:
    settle(roots)
    Journal(roots.events).append(died(6))
    roots.events.rename(roots.events.with_name(f"{roots.events.name}.1"))
    Journal(roots.events).append(died(7))
    settle(roots)
    assert json.loads(documents(roots).failures.read_text())[0]["count"] == 7


def test_a_lost_state_file_counts_nothing_twice(roots: Roots) -> None:
    settle(roots)
    before = held(roots)[documents(roots).failures]
    roots.agent_state("curator").unlink()
    settle(roots)
    assert held(roots)[documents(roots).failures] == before


def test_more_than_one_cycle_can_take_in_is_taken_in_by_the_next_ones(roots: Roots) -> None:
    Journal(roots.events).append(*(died(number % 60) | {"more": number} for number in range(1_000)))
    settle(roots)
    settle(roots)
    assert json.loads(documents(roots).failures.read_text())[0]["count"] == 1_005


@pytest.mark.parametrize("text", ['{"not": "an array"}', "[1, 2", ""])
def test_a_damaged_failure_memory_moves_aside(roots: Roots, text: str) -> None:
    documents(roots).path.mkdir(parents=True)
    documents(roots).failures.write_text(text)
    settle(roots)
    assert documents(roots).failures.with_stem("FAILURE_POINTS_BACKTEST_OPTIMIZE.damaged-1").read_text() == text
    assert json.loads(documents(roots).failures.read_text())[0]["count"] == 5


def test_what_people_wrote_into_the_failure_memory_stays(roots: Roots) -> None:
    documents(roots).path.mkdir(parents=True)
    snapshot.write_json(documents(roots).failures, ["a word", {"mine": 1}])
    settle(roots)
    entries = json.loads(documents(roots).failures.read_text())
    assert entries[:2] == ["a word", {"mine": 1}]
    assert len(entries) == 5


def test_the_same_deed_twice_leaves_the_same_bytes(roots: Roots) -> None:
    folder = documents(roots)
    row = {"signature": "s", "kind": "died", "what": "x", "first_seen": "a", "last_seen": "b", "count": 2}
    found = [{"id": "ab12", "date": "2026-01-01", "run_id": "bt-1", "title": "t", "text": "Found."}]

    def deeds() -> None:
        writing.remember_failures(folder.failures, [{**row, "examples": [{"said": "x"}], "last_event": "e"}])
        writing.write_findings(folder.findings, found)
        writing.write_block(folder.notes, "N", "# Head\n", "text")

    deeds()
    before = held(roots)
    deeds()
    assert held(roots) == before
    assert json.loads(folder.failures.read_text())[0]["count"] == 2


def test_the_knowledge_base_only_ever_grows_and_holds_a_finding_once(roots: Roots) -> None:
    documents(roots).path.mkdir(parents=True)
    documents(roots).findings.write_bytes(b"What I knew before\r\nwithout a last newline")
    settle(roots)
    text = documents(roots).findings.read_bytes()
    assert text.startswith(b"What I knew before\r\nwithout a last newline\n")
    assert text.count(b"Done.") == 1
    wish(roots)
    settle(roots)
    assert documents(roots).findings.read_bytes() == text
    answers = sorted(json.loads(path.read_text())["reason"] for path in (roots.requests / "done").iterdir())
    assert answers == ["0 added, 1 were there", "1 added, 0 were there"]


def test_nobody_else_can_write_while_it_does(roots: Roots) -> None:
    from filelock import FileLock

    roots.cycle_lock("curator").parent.mkdir(parents=True)
    with FileLock(roots.cycle_lock("curator")), pytest.raises(cycle.Held):
        cycle.run_cycle("curator", roots)
    assert not documents(roots).path.exists()


def test_notes_keep_their_moment_until_something_changes(roots: Roots) -> None:
    settle(roots)
    notes = documents(roots).notes.read_text()
    state = {"at": "2026-01-01T09:00:00.000Z", "report": {}, "agent": "watchdog"}
    snapshot.write_json(roots.agent_state("watchdog"), state)
    settle(roots)
    assert documents(roots).notes.read_text() == notes
    snapshot.write_json(roots.agent_state("watchdog"), {**state, "report": {"cpu_pct": 81.9, "gpus": []}})
    settle(roots)
    changed = documents(roots).notes.read_text()
    assert "CPU `81.9`%, GPU `none`" in changed
    assert "Updated UTC: `2026-01-01T09:00:00.000Z`" in changed


# killed between any two writes ----------------------------------------------------------------------------------------

_KILLED = """
import os, signal, sys
from agents.runtime import cycle
from state.files import snapshot
from state.files.layout import Roots

left, real = int(sys.argv[1]), snapshot._write_bytes

def write(path, data):
    global left
    left -= 1
    if left == 0 and sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, data)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

snapshot._write_bytes = write
cycle.run_cycle("curator", Roots.from_environment())
"""


@pytest.mark.parametrize("moment", ["before", "behind"])
@pytest.mark.parametrize("write", range(1, 8))
def test_killed_at_any_write_it_loses_nothing_and_repeats_nothing(roots: Roots, write: int, moment: str) -> None:
    environment = os.environ | {"RESULTS_ROOT": str(roots.results)}
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        environment.pop(name, None)
    command = [sys.executable, "-c", _KILLED, str(write), moment]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    settle(roots)
    assert sum(one["count"] for one in json.loads(documents(roots).failures.read_text())) == 7
    assert documents(roots).findings.read_bytes().count(b"Done.") == 1
    assert documents(roots).notes.read_bytes().count(b"AUTO-WORKFLOW-NOTES:START") == 1
    assert [path.name for path in roots.requests.glob("*.json")] == []
    codec.decode(roots.agent_state("curator").read_bytes())


def publish(roots: Roots, number: int, verdict: str) -> bytes:
    """What a round leaves of one unit: its outcome, its manifest, and the manifest in the result tree, replaced."""
    manifest = codec.encode({"verdict": verdict, "execution": {"run_id": "bt-1", "round": number}})
    unit = roots.swarm_run("bt-1").round(number).unit("SOL", "aggressive")
    snapshot.write_json(unit.outcome, {"verdict": verdict, "synthetic": False, "bests": {}})
    snapshot.write_bytes(unit.manifest, manifest)
    snapshot.write_bytes(roots.artifacts("SOL", "aggressive") / "run_manifest.json", manifest)
    return manifest


def test_the_evidence_of_a_finding_outlives_the_rounds_that_follow(roots: Roots) -> None:
    first = publish(roots, 0, "not tradeable: a drawdown of 12 %")
    settle(roots)
    second = publish(roots, 1, "candidate: all checks passed")
    settle(roots)
    shutil.rmtree(roots.swarm_run("bt-1").round(0).path)  # retired
    publish(roots, 2, "candidate: all checks passed")
    settle(roots)
    text = documents(roots).findings.read_text(encoding="utf-8")
    cited = re.findall(r"^Evidence: (evidence/\S+) \(.*\), SHA-256 (\w{64})$", text, re.MULTILINE)
    assert [documents(roots).path / path for path, _ in cited] == sorted(documents(roots).evidence.iterdir())
    kept = [(documents(roots).path / path).read_bytes() for path, _ in cited]
    assert kept == [first, second]
    assert [hashlib.sha256(one).hexdigest() for one in kept] == [digest for _, digest in cited]
