"""What `explain` concludes from records, which are written here as the swarm writes them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agents.machine.observe import observe
from agents.model.world import World
from config.errors import Refused
from scripts.swarm.explain import answer, command, subject
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host.identity import NONCE, boot_id, of
from state.records import orders
from state.records.jobs import Job, JobJournal
from tests.agents.worlds import LIMITS, ORDER, agent

SCHEMA = json.loads((CHECKOUT / "docs" / "reference" / "schemas" / "explain.schema.json").read_text(encoding="utf-8"))
RUN = "bt-20260101_000000Z"
JOBS = tuple(Job(0, "SOL", "aggressive", "prescreen", n, 50) for n in (4, 41))
JOB, OTHER = (job.job_id for job in JOBS)
W1, W2 = f"{JOB}.e1.aaaaaa", f"{JOB}.e2.bbbbbb"


class Clock:
    """A second passes with every look."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def monotonic_s(self) -> float:
        return 1_000.0


@dataclass
class Place:
    """A state root with one run."""

    roots: Roots
    clock: Clock
    journal: JobJournal

    def kills(self, worker_id: str, why: str) -> None:
        """The sentry's cycle that decides to kill, with the world around it."""
        action = {"kind": "kill_worker", "target": worker_id, "expected": "gone", "arguments": {"why": why}}
        self.cycle({"memory": {}, "reason": "1 workers run", "actions": [action]})

    def cycle(self, decision: dict[str, Any], path: Path | None = None) -> None:
        at = self.clock.now().isoformat().replace("+00:00", "Z")
        world = {"jobs": [JOB, OTHER, W1, W2]}
        head = {"cycle": 7, "at": at, "agent": "worker_sentry", "reason": decision["reason"], "world": world}
        Journal(path or self.roots.cycles("worker_sentry")).append({**head, "memory": {}, "decision": decision})

    def look(self) -> World:
        sentry = agent("worker_sentry", "bt-worker-sentry")
        return replace(observe(self.roots, LIMITS), agents=(sentry,), disk_free_bytes=10**12)

    def job(self, name: str = JOB) -> str:
        return answer.of_job(subject.job(self.roots, name), self.look(), LIMITS)

    def worker(self, name: str) -> str:
        return answer.of_worker(subject.worker(self.roots, name), self.look())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        monkeypatch.delenv(name, raising=False)
    roots, clock = Roots.from_environment(), Clock()
    orders.write(roots.swarm_run(RUN).order, replace(ORDER, run_id=RUN))
    snapshot.write_json(roots.current_run, {"run_id": RUN})
    journal = JobJournal(Journal(roots.swarm_run(RUN).round(0).jobs), clock)
    journal.enqueue(JOBS)
    yield Place(roots, clock, journal)


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """`explain … --json`, held against its schema."""
    assert command.main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    return found


def test_a_worker_the_sentry_killed_names_who_when_why_and_what_became_of_the_job(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    place.kills(W1, "no progress for 61 s")
    place.journal.died(JOB, "ended by us: no progress for 61 s", 1, 10, 10.0)
    place.journal.started(JOB, 2, W2, "cpu1")
    place.journal.completed(JOB, {"tried": 5}, [])
    said = place.worker(W1)
    assert "was ended by worker_sentry at 2026-01-01 00:00:04 UTC because no progress for 61 s" in said
    assert "its job went on as epoch 2 on cpu1 at 2026-01-01 00:00:05 UTC and is completed" in said
    chain = asked(capsys, "--worker", W1)["evidence"]
    assert [one["at"] for one in chain] == sorted(one["at"] for one in chain)
    kill = next(one for one in chain if "kill_worker" in one["what"])
    assert (kill["who"], kill["why"]) == ("worker_sentry", "no progress for 61 s")
    assert kill["source"] == "cycles/worker_sentry.jsonl"
    assert "completed" not in json.dumps(chain), "what its successor did is another worker's story"
    assert place.worker(W2).startswith(f"{W2} did its job on cpu1")


def test_compacting_the_journal_changes_no_answer_until_the_old_records_are_gone(place: Place) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    place.journal.died(JOB, "killed by signal 9", 1, 10, 10.0)
    place.journal.started(JOB, 2, W2, "cpu1")
    place.journal.completed(JOB, {"tried": 5}, [])
    before = place.job(), place.worker(W1), place.worker(W2)
    place.clock.now()
    place.journal.compact()
    assert (place.job(), place.worker(W1), place.worker(W2)) == before
    place.journal.started(OTHER, 1, f"{OTHER}.e1.cccccc", "cpu0")
    assert place.job() == before[0]
    folder = place.roots.swarm_run(RUN).round(0)
    folder.jobs.with_name(f"{folder.jobs.name}.1").unlink()
    assert "was completed at or before 2026-01-01 00:00:" in place.job()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("killed by signal 9", "was killed by signal 9 (SIGKILL), which came from outside the swarm or from itself"),
        ("killed by the kernel: out of memory", "was found dead at 2026-01-01 00:00:03 UTC: killed by the kernel"),
        (
            "the worker and the wrapper that watched it are gone",
            "found dead at 2026-01-01 00:00:03 UTC: the worker and the wrapper that watched it are gone",
        ),
        ("stopped by the operator", "was ended at 2026-01-01 00:00:03 UTC because the operator stopped the swarm"),
        ("exit code 3", "found dead at 2026-01-01 00:00:03 UTC: exit code 3"),
    ],
)
def test_every_kind_of_death_has_its_words(place: Place, reason: str, words: str) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    place.journal.died(JOB, reason, 0, 0, 0.0)
    assert words in place.worker(W1)
    assert "its job is pending" in place.worker(W1)
    assert "1 worker of it died before" in place.job()


def test_a_quarantined_and_a_cancelled_job_name_the_reason_and_who_wished_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    place.journal.ended(JOB, "quarantined", "5 deaths in a row without new progress, the last: exit code 1")
    place.journal.ended(OTHER, "cancelled", "cancelled by me")
    assert "was quarantined at" in place.job()
    assert "5 deaths in a row" in place.worker(W1)
    wish = {
        "request_id": "q",
        "kind": "cancel_job",
        "target": OTHER,
        "asked_by": "me",
        "asked_at": "2026-01-01T00:00:03Z",
    }
    answered = {**wish, "answered_at": "2026-01-01T00:00:04Z", "reason": "cancelled"}
    snapshot.write_json(place.roots.requests / "done" / "q.json", answered)
    chain = asked(capsys, "--job", OTHER)["evidence"]
    assert [(one["who"], one["what"]) for one in chain if "wish" in one["what"]] == [
        ("me", "wishes cancel_job"),
        ("its owner", "answers the wish cancel_job: done"),
    ]


def test_a_queued_job_says_why_it_waits(place: Place) -> None:
    assert place.job() == f"{JOB} waits: the sentry starts it in its next cycle."
    place.journal.died(JOB, "killed by signal 11", 2, 0, 1e9)
    assert "waits: backoff of job" in place.job()
    assert "after 2 deaths" in place.job()
    snapshot.write_json(place.roots.tombstone, {"at": "x", "by": "me"})
    assert "waits: the operator stopped the swarm" in place.job()


def test_a_job_that_counts_as_running_without_a_launch_record_is_said_to_be(place: Place) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    assert "has no launch record" in place.job()
    nonce = os.urandom(16).hex()
    launch = {
        "worker_id": W1, "run_id": RUN, "job": tree_of(JOBS[0]), "epoch": 1, "nonce": nonce, "lane": "cpu0", "cores": 1,
        "launched_at": "2026-01-01T00:00:03.000Z", "launched_at_s": 0.0, "boot_id": boot_id(), "wrapper": None,
    }  # fmt: skip
    snapshot.write_json(place.roots.launch(W1), launch)
    told = {"STATE_ROOT": str(place.roots.state), NONCE: nonce}
    command = [sys.executable, "-c", "import os, sys; os.write(1, b'!'); sys.stdin.read()"]
    with subprocess.Popen(command, env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.read(1) == b"!"
        beat = {
            "worker_id": W1, "job_id": JOB, "epoch": 1, "identity": tree_of(of(worker.pid)), "phase": "prescreen",
            "done": 7, "total": 9, "rate_per_s": None, "note": "", "beats": 1, "progressed_at_s": 0.0,
            "at": "2026-01-01T00:00:09Z",
        }  # fmt: skip
        snapshot.write_json(place.roots.heartbeat(W1), beat)
        assert f"{JOB} runs: 7 of 9" in place.job()
        assert subject.worker(place.roots, str(worker.pid)).worker_id == W1, "a pid names its worker"


def test_what_moved_aside_is_read_too_and_a_longer_name_is_another_job(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    aside = place.roots.cycles("worker_sentry").with_name("worker_sentry.jsonl.1")
    place.cycle(
        {"memory": {}, "reason": "r", "actions": [{"kind": "continue_worker", "target": W1, "arguments": {}}]}, aside
    )
    place.cycle({"memory": {}, "reason": "r", "actions": [{"kind": "end_job", "target": OTHER, "arguments": {}}]})
    chain = asked(capsys, "--job", JOB)["evidence"]
    assert sum("continue_worker" in one["what"] for one in chain) == 1
    assert OTHER not in json.dumps(chain)


def test_what_an_earlier_run_wrote_of_a_job_of_that_name_is_not_told(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"at": "2025-12-24T00:00:00.000Z", "event": "died", "job_id": JOB, "error_message": "of another run"}
    new = {"at": "2026-01-01T00:00:09.000Z", "event": "incident_opened", "id": f"worker_silent:{JOB}", "what": "silent"}
    Journal(place.roots.events).append(old)
    Journal(place.roots.session_events).append(new)
    chain = asked(capsys, "--job", JOB)["evidence"]
    assert "of another run" not in json.dumps(chain)
    assert any(one["who"] == "session_state_manager" and one["why"] == "silent" for one in chain)


def test_the_state_file_tells_what_came_of_the_last_action_and_whether_it_helped(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    did = {"kind": "kill_worker", "target": W1, "expected": "its tree is gone", "outcome": "2 processes ended"}
    state = {
        "at": "2026-01-01T00:00:09.000Z",
        "actions_last_cycle": [did],
        "verified_last_cycle": [{**did, "holds": False}],
    }
    snapshot.write_json(place.roots.agent_state("worker_sentry"), state)
    told = [(one["what"], one["why"]) for one in asked(capsys, "--worker", W1)["evidence"]]
    assert ("did: kill_worker", "2 processes ended") in told
    assert any(what.endswith("its tree is gone") and why.startswith("it is not so") for what, why in told)


def test_a_job_that_failed_is_told_once_and_a_document_that_names_it_is_not_about_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    place.journal.ended(JOB, "failed", "20 days of bars are fewer than 90")
    ended = Journal(place.roots.swarm_run(RUN).round(0).jobs).read().records[-1]
    Journal(place.roots.events).append({**ended, "run_id": RUN})
    notes = {"kind": "write_notes", "target": "WORKFLOW_NOTES.md", "arguments": {"text": f"- {JOB} failed, {W1} ended"}}
    place.cycle({"memory": {}, "reason": "r", "actions": [notes]}, place.roots.cycles("curator"))
    chain = asked(capsys, "--job", JOB)["evidence"]
    assert [one["what"] for one in chain if "20 days" in one["why"]] == ["the job is failed"]
    assert not [one for one in chain if one["who"] == "curator"]


def test_a_pid_names_the_worker_that_had_it_after_its_end_too(place: Place) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    place.journal.died(JOB, "killed by signal 9", 1, 10, 10.0)
    world = {"workers": [{"launch": {"worker_id": W1}, "pid": 31803}, {"launch": {"worker_id": W2}, "pid": 318}]}
    head = {"cycle": 7, "at": "2026-01-01T00:00:04.000Z", "agent": "worker_sentry", "reason": "r", "world": world}
    Journal(place.roots.cycles("worker_sentry")).append({**head, "decision": {"actions": []}})
    assert subject.worker(place.roots, "31803").worker_id == W1
    with pytest.raises(Refused, match="no worker on file has or had pid 31804"):
        subject.worker(place.roots, "31804")


def test_an_idle_gpu_is_explained_and_one_that_is_not_there_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(place.roots.events).append({"at": "2026-01-01T00:00:01.000Z", "event": "skip_gpu_actions_no_gpu_detected"})
    watchdog = {"at": "2026-01-01T00:00:02.000Z", "report": {"gpus": [], "gpu_plan": "cpu_only"}}
    snapshot.write_json(place.roots.agent_state("watchdog"), watchdog)
    found = asked(capsys, "--gpu", "0")
    assert found["answer"] == "gpu0 is idle: no GPU here: the plan is CPU only."
    assert [one["what"] for one in found["evidence"]] == ["skip gpu actions no gpu detected", "sees no such GPU"]
    with pytest.raises(Refused, match="there is no GPU 7 here") as refused:
        command.main(["--gpu", "7"])
    assert refused.value.way_out == "GPUs: none"
    watchdog["report"]["gpus"] = [{"index": 0, "utilisation_pct": 3.0}]  # type: ignore[index]
    snapshot.write_json(place.roots.agent_state("watchdog"), watchdog)
    assert "no lane uses it" in asked(capsys, "--gpu", "0")["answer"]
    with pytest.raises(Refused, match="there is no GPU 5 here") as refused:
        command.main(["--gpu", "5"])
    assert "gpu0" in refused.value.way_out


@pytest.mark.parametrize(
    ("flag", "name", "way_out"),
    [
        ("--job", "r0.SOL.agressive.prescreen.4", f"did you mean: {JOB}, {OTHER}"),
        ("--job", "prescreen.41", f"did you mean: {OTHER}"),
        ("--worker", f"{JOB}.e9.cccccc", f"of that job there were: {W1}"),
        ("--worker", "nonsense", f"there are 1, the last: {W1}"),
        ("--worker", "1", f"did you mean: {W1}"),
    ],
)
def test_an_unknown_name_is_refused_with_its_neighbours(place: Place, flag: str, name: str, way_out: str) -> None:
    place.journal.started(JOB, 1, W1, "cpu0")
    with pytest.raises(Refused) as refused:
        command.main([flag, name])
    assert refused.value.way_out == way_out


def test_a_long_story_is_cut_to_its_last_lines_and_says_so(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for epoch in range(1, 60):
        place.journal.started(JOB, epoch, f"{JOB}.e{epoch}.abc", "cpu0")
        place.journal.died(JOB, "exit code 1", 1, epoch, 0.0)
    assert command.main(["--job", JOB, "--last", "4"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("… 115 earlier lines: --last 0")
    assert "59 workers of it died before" in said.splitlines()[-1]
