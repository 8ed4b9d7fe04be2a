"""A compacted journal of jobs replays to the same states, whatever was in it, comes after it, or kills its writer."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.files import codec, layout
from state.files.journal import Journal
from state.files.tree import tree_of
from state.records.jobs import (
    DEATHS_KEPT,
    Job,
    JobJournal,
    JobState,
    compacted,
    fold,
    is_worth_compacting,
)
from tests.state.test_records import Clock

JOBS = [
    Job(0, "SOL", "aggressive", phase, shard, 2) for phase in ("preflight", "prescreen", "merge") for shard in (0, 1)
]
IDS = st.sampled_from([job.job_id for job in JOBS] + ["of-nobody"])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SMALL = st.integers(0, 9)
METRICS = st.dictionaries(st.text(max_size=4), JUNK, max_size=3)


def words(event: str, **values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"event": st.just(event), "job_id": IDS, **values})


EVENTS = st.one_of(
    st.sampled_from([{"event": "enqueued", "job": tree_of(job)} for job in JOBS]),
    words("started", epoch=SMALL, worker_id=st.text(max_size=4), lane=st.sampled_from(["cpu0", "cpu1"])),
    words("completed", metrics=METRICS, gates=st.lists(METRICS, max_size=2)),
    words(
        "died",
        error_message=st.text(max_size=4),
        deaths=SMALL,
        last_done=SMALL,
        retry_at_s=st.floats(0, 1e6),
        boot_id=st.text(max_size=3),
    ),
    *(words(event, error_message=st.text(max_size=4)) for event in ("failed", "cancelled", "quarantined")),
    *(words(event) for event in ("reopened", "withdrawn", "of-a-newer-version")),
    # words we know, with values we never write
    words("started", epoch=JUNK, worker_id=JUNK, lane=JUNK),
    words("completed", metrics=JUNK, gates=JUNK),
    words("died", error_message=JUNK, deaths=JUNK, last_done=JUNK, retry_at_s=JUNK, boot_id=JUNK),
    st.fixed_dictionaries({"event": st.just("compacted"), "state": JUNK}),
    st.builds(
        lambda job, epoch: {"event": "compacted", "state": tree_of(JobState(job, epoch=epoch))},
        st.sampled_from(JOBS),
        SMALL,
    ),
    JUNK,
)
MANY = st.lists(EVENTS, max_size=30)


def same(one: dict[str, JobState], other: dict[str, JobState]) -> bool:
    return list(one.items()) == list(other.items())  # in the same order, too


@given(MANY, MANY)
def test_the_replay_is_the_same_now_and_after_whatever_follows(before: list[Any], after: list[Any]) -> None:
    short = compacted(before)
    assert same(fold(short), fold(before))
    assert same(fold([*short, *after]), fold([*before, *after]))
    again = compacted([*short, *after])
    assert same(fold(again), fold([*before, *after]))


@given(MANY, st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b), max_size=4))
def test_on_disk_with_lines_that_are_no_records(tmp_path_factory: Any, before: list[Any], debris: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("jobs") / "jobs.jsonl"
    lines = [codec.encode_line(record) for record in before]
    for n, line in enumerate(debris):
        lines.insert(n * 2, line + b"\n")
    path.write_bytes(b"".join(lines) + b'{"torn')
    journal = Journal(path, durable=False)
    page = journal.read()
    JobJournal(journal, Clock()).compact()
    assert same(fold(journal.read().records), fold(page.records))
    assert journal.read().bad_lines == ()
    kept = path.with_name("jobs.jsonl.bad")
    assert (kept.read_bytes() if kept.exists() else b"") == b"".join(line + b"\n" for line in page.bad_lines)
    assert Journal(path.with_name("jobs.jsonl.1")).read().records == page.records


def long_past(path: Path, times: int) -> JobJournal:
    jobs = JobJournal(Journal(path, durable=False), Clock())
    jobs.enqueue(JOBS)
    for n in range(times):
        jobs.started(JOBS[n % 6].job_id, n, f"w{n}", "cpu0")
        jobs.died(JOBS[n % 6].job_id, "signal 9", 0, n, 0.0)
    return jobs


def test_a_long_past_becomes_short_and_the_last_deaths_stay(tmp_path: Path) -> None:
    jobs = long_past(tmp_path / "jobs.jsonl", 600)
    before, size = jobs.states(), (tmp_path / "jobs.jsonl").stat().st_size
    for _ in range(3):
        jobs.compact()
        assert same(jobs.states(), before)
        records = Journal(tmp_path / "jobs.jsonl").read().records
        assert [r["event"] for r in records] == ["died"] * DEATHS_KEPT + ["compacted"] * len(JOBS)
    assert (tmp_path / "jobs.jsonl").stat().st_size < size / 3


def test_who_writes_compacts_what_nobody_else_did_and_only_when_it_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.jsonl"
    monkeypatch.setattr("state.records.jobs.MOST_BYTES", 100_000)
    jobs = long_past(path, 1_000)  # 300 kB of it, if it all stayed
    assert path.stat().st_size < 101_000
    assert jobs.states()[JOBS[0].job_id].last_done == 996
    many = [Job(0, f"S{n}", "aggressive", "merge") for n in range(1_000)]
    jobs.enqueue(many)
    before = path.with_name("jobs.jsonl.1").stat().st_ino
    for job in many[:3]:
        jobs.started(job.job_id, 1, "w", "cpu0")
    assert path.stat().st_size > 100_000, "a thousand jobs are that long"
    assert path.with_name("jobs.jsonl.1").stat().st_ino == before, "it was compacted in vain"


def test_reopened_begins_again_withdrawn_is_yet_to_come_and_epochs_go_on(tmp_path: Path) -> None:
    clock, other = Clock(), Job(0, "BTC", "aggressive", "preflight")
    jobs = JobJournal(Journal(tmp_path / "jobs.jsonl"), clock)
    first, second = Job(0, "SOL", "aggressive", "preflight"), Job(0, "SOL", "aggressive", "prescreen")
    jobs.enqueue([first, second, other])
    jobs.started(first.job_id, 3, "w", "cpu0")
    jobs.completed(first.job_id, {"bars": 1}, [{"passed": True}])
    jobs.started(second.job_id, 2, "w", "cpu0")
    jobs.died(second.job_id, "x", 2, 7, 99.0)
    jobs.completed(other.job_id, {"bars": 2}, [])
    jobs.restart([("SOL", "aggressive")])
    states = jobs.states()
    assert states[first.job_id] == JobState(first, epoch=3)
    assert list(states) == [first.job_id, other.job_id]
    assert states[other.job_id].status == "completed"
    jobs.enqueue([second])
    assert jobs.states()[second.job_id] == JobState(second)
    jobs.ended(first.job_id, "failed", "x")
    jobs.restart([("SOL", "aggressive")])
    assert jobs.states()[first.job_id] == JobState(first, epoch=3)


APPEND = """
import sys
from pathlib import Path
from state.records.jobs import Job, JobJournal
from state.files.journal import Journal
from tests.state.test_records import Clock
jobs = JobJournal(Journal(Path(sys.argv[1]), durable=False), Clock())
who = int(sys.argv[2])
for n in range(int(sys.argv[3])):
    jobs.enqueue([Job(0, f"S{who}x{n}", "aggressive", "merge")])
"""
COMPACT = """
import sys
from pathlib import Path
from state.records.jobs import JobJournal
from state.files.journal import Journal
from tests.state.test_records import Clock
jobs = JobJournal(Journal(Path(sys.argv[1]), durable=False), Clock())
while sys.stdin.read(1):
    jobs.compact()
    print("!", end="", flush=True)
"""


def child(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=layout.CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_nobody_who_appends_meanwhile_loses_a_record_and_readers_always_see_all(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    jobs = long_past(path, 100)
    compactor = child(COMPACT, path)
    try:
        assert compactor.stdin is not None
        assert compactor.stdout is not None
        writers = [child(APPEND, path, who, 25) for who in range(3)]
        seen = 0
        while any(writer.poll() is None for writer in writers):
            now = len(jobs.states())
            assert now >= seen, "a reader saw fewer jobs than before"
            seen = now
            compactor.stdin.write(b"x")  # paced by the reader: in a tight loop nobody else would get the lock
            compactor.stdin.flush()
            assert compactor.stdout.read(1) == b"!"
        assert [writer.wait() for writer in writers] == [0] * 3
    finally:
        compactor.kill()
        compactor.communicate()
    assert len(jobs.states()) == len(JOBS) + 75
    for writer in writers:
        writer.communicate()
    assert path.with_name("jobs.jsonl.1").exists(), "nothing was ever compacted"


KILLED = """
import os, signal, sys
from pathlib import Path

def stop_here(*words, **more):
    os.write(1, b"!")
    signal.pause()

where = sys.argv[2]
import state.files.snapshot
if where == "before the past is set aside":
    os.link = stop_here
elif where == "before anything is written":
    os.fdopen = stop_here
elif where == "before the disk has it":
    os.fsync = stop_here
elif where == "before it takes its place":
    Path.replace = stop_here
elif where == "before the folder has it":
    state.files.snapshot.sync_folder = stop_here
from state.records.jobs import JobJournal
from state.files.journal import Journal
from tests.state.test_records import Clock
JobJournal(Journal(Path(sys.argv[1])), Clock()).compact()
"""
POINTS = ("the past is set aside", "anything is written", "the disk has it", "it takes its place", "the folder has it")


@pytest.mark.parametrize("where", [f"before {point}" for point in POINTS])
def test_killed_anywhere_in_a_compaction_the_journal_is_whole(tmp_path: Path, where: str) -> None:
    path = tmp_path / "jobs.jsonl"
    jobs = long_past(path, 100)
    states = jobs.states()
    with child(KILLED, path, where) as compactor:
        assert compactor.stdout is not None
        assert compactor.stdout.read(1) == b"!"
        os.kill(compactor.pid, signal.SIGKILL)
    assert same(jobs.states(), states)
    jobs.died(JOBS[0].job_id, "once more", 0, 77, 0.0)  # the lock is free, and the journal goes on
    assert jobs.states()[JOBS[0].job_id].last_done == 77
    assert Journal(path).read().bad_lines == ()
    states = jobs.states()
    jobs.compact()
    assert same(jobs.states(), states)
    assert {p.name for p in tmp_path.iterdir()} == {"jobs.jsonl", "jobs.jsonl.1", "jobs.jsonl.lock"}


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    jobs = long_past(path, 20)
    script = "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n" + COMPACT
    script = script.replace("while sys.stdin.read(1):", "if True:")
    command = [sys.executable, "-c", script, str(path)]
    before = path.read_bytes()
    done = subprocess.run(command, cwd=layout.CHECKOUT, capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert path.read_bytes() == before
    jobs.compact()
    assert len(jobs.states()) == len(JOBS)


@pytest.mark.parametrize(
    "debris", [b"x" * 3_000_000, b"\0" * 3_000_000, b'{"event":"started","job_id":"' + b"x" * 3_000_000]
)
def test_a_line_of_megabytes_that_is_no_record_is_worth_compacting_away(tmp_path: Path, debris: bytes) -> None:
    """Otherwise every cycle would read the line again until the round is over."""
    path = tmp_path / "jobs.jsonl"
    journal = JobJournal(Journal(path), Clock())
    journal.enqueue(JOBS)
    assert not is_worth_compacting(path.read_bytes())
    with path.open("ab") as file:
        file.write(debris + b"\n")
    assert is_worth_compacting(path.read_bytes())
    before = journal.states()
    journal.compact()
    assert journal.states() == before
    assert path.stat().st_size < 10_000
    assert path.with_name("jobs.jsonl.bad").read_bytes().rstrip(b"\n") == debris[:10_000].rstrip(b"\n")
    assert not is_worth_compacting(path.read_bytes())
