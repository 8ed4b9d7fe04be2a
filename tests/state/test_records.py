"""The records of the control plane: identity, lease, request, heartbeat, jobs, trees."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from agents.machine import processes
from state.files import snapshot, tree
from state.files.journal import Journal
from state.files.layout import CHECKOUT
from state.host import identity, wake
from state.host.identity import Tree
from state.records import lease, request
from state.records.heartbeat import Heartbeat, Pulse
from state.records.jobs import Job, JobJournal, JobState, fold


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic_s(self) -> float:
        return self.seconds


NONCE = "0123456789abcdef" * 2


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, identity.NONCE: NONCE, "STATE_ROOT": str(tmp_path)}
    # Its grandchild has a session of its own and no parent left: only its environment says whose it is.
    script = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    print(os.getpid(), flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    one = subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes)
    yield one
    one.communicate()


# identity -------------------------------------------------------------------------------------------------------------


def test_a_process_is_itself_and_nobody_with_another_start_inode_or_boot(child: subprocess.Popen[bytes]) -> None:
    one = identity.of(child.pid)
    assert one is not None
    assert identity.life_of(one) == "running"
    for other in (
        replace(one, start_ticks=one.start_ticks + 1),
        replace(one, inode=one.inode + 1),
        replace(one, boot_id="another"),
    ):
        assert identity.life_of(other) == "dead"
        assert not processes.send(other, signal.SIGKILL)
    assert child.poll() is None


def test_a_stopped_process_is_alive_and_a_zombie_is_dead(child: subprocess.Popen[bytes]) -> None:
    one = identity.of(child.pid)
    assert one is not None
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert identity.life_of(one) == "stopped"
    assert processes.send(one, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, not yet reaped
    assert identity.life_of(one) == "dead"


def test_a_nonce_finds_the_whole_tree_and_the_tree_ends(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    tree = Tree.of(tmp_path, NONCE)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    assert {child.pid, grandchild} <= {one.pid for one in tree.members()}
    others = [Tree.of(tmp_path, NONCE[::-1]), Tree.of(tmp_path.parent, NONCE)]
    assert [one.members() for one in others] == [[], []]
    me = identity.of(child.pid)
    assert me is not None
    assert not any(processes.send(me, signal.SIGKILL, other) for other in others)
    assert processes.kill_tree(tree, None) >= 2
    child.wait()
    assert tree.members() == []


# lease ----------------------------------------------------------------------------------------------------------------


def test_the_newest_epoch_has_the_job_and_older_ones_are_told(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    lease.take(path, 1, "a")
    lease.take(path, 1, "a")  # its own again, after a crash between taking and working
    lease.check(path, 1)
    lease.take(path, 2, "b")
    for too_old in (lambda: lease.check(path, 1), lambda: lease.take(path, 1, "a"), lambda: lease.take(path, 2, "c")):
        with pytest.raises(lease.Superseded):
            too_old()
    assert lease.newest(path) == 2


# request --------------------------------------------------------------------------------------------------------------


def test_a_request_is_answered_once_and_keeps_its_reason(tmp_path: Path) -> None:
    clock = Clock()
    made = request.ask(tmp_path, clock, "cancel_job", "j", "me", {"why": "x"}, for_s=10)
    (tmp_path / "garbage.json").write_text("{")
    assert request.pending(tmp_path) == (made,)
    assert made.expires_at == "2026-01-01T00:16:50.000Z"
    request.answer(tmp_path, made.request_id, True, "cancelled", clock)
    request.answer(tmp_path, made.request_id, False, "too late", clock)
    assert request.pending(tmp_path) == ()
    assert snapshot.read_json(tmp_path / "done" / f"{made.request_id}.json")["reason"] == "cancelled"
    assert not (tmp_path / "refused").exists()


# heartbeat ------------------------------------------------------------------------------------------------------------


def test_a_heartbeat_is_written_once_a_second_and_always_at_the_end(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "h" / "w.json"
    first = Heartbeat("w", "j", 1, identity.mine(), "search", 0, 0, None, "", 0, clock.monotonic_s(), "")
    pulse = Pulse(path, clock, first)
    assert pulse.at(1, 100)
    clock.seconds += 0.5
    assert not pulse.at(2, 100)
    clock.seconds += 0.6
    assert pulse.at(3, 100, "note")
    beat = tree.record_of(Heartbeat, snapshot.read_json(path))
    assert (beat.done, beat.beats, beat.note, beat.progressed_at_s) == (3, 3, "note", clock.seconds)
    assert beat.rate_per_s == pytest.approx(2 / 1.1, abs=0.01)
    assert pulse.at(100, 100), "the last step is always written"
    assert [p.name for p in path.parent.iterdir()] == ["w.json"]


# jobs -----------------------------------------------------------------------------------------------------------------


def journal(tmp_path: Path) -> tuple[JobJournal, Job]:
    return JobJournal(Journal(tmp_path / "jobs.jsonl"), Clock()), Job(0, "SOL", "aggressive", "prescreen", 1, 2)


def test_a_jobs_life_is_the_replay_of_its_journal(tmp_path: Path) -> None:
    jobs, job = journal(tmp_path)
    jobs.enqueue([job])
    jobs.enqueue([job])
    assert [s.status for s in jobs.states().values()] == ["pending"]
    jobs.started(job.job_id, 1, "w1", "cpu0")
    jobs.died(job.job_id, "signal 9", 0, 17, 5.0)
    state = jobs.states()[job.job_id]
    assert (state.status, state.last_done, state.epoch) == ("pending", 17, 1)
    assert not state.may_start(1_004.0)
    assert state.may_start(1_005.0)
    jobs.started(job.job_id, 2, "w2", "cpu1")
    jobs.completed(job.job_id, {"tried": 3}, [])
    jobs.died(job.job_id, "late word of the first", 9, 0, 0.0)
    state = jobs.states()[job.job_id]
    assert (state.status, state.metrics, state.as_operation(3, 3)["cancellable"]) == ("completed", {"tried": 3}, False)


def test_a_job_that_runs_again_no_longer_shows_why_its_last_worker_ended(tmp_path: Path) -> None:
    jobs = JobJournal(Journal(tmp_path / "jobs.jsonl"), Clock())
    job = Job(0, "SOL", "aggressive", "merge")
    jobs.enqueue([job])
    for epoch in (1, 2):
        jobs.started(job.job_id, epoch, f"w{epoch}", "cpu0")
        running = jobs.states()[job.job_id]
        assert running.as_operation(0, 1)["error_message"] is None
        jobs.died(job.job_id, "killed by signal 9", 1, 7, 0.0)
        assert jobs.states()[job.job_id].as_operation(0, 1)["error_message"] == "killed by signal 9"
    jobs.started(job.job_id, 3, "w3", "cpu0")
    jobs.compact()
    state = jobs.states()[job.job_id]
    assert (state.error_message, state.last_death) == ("", "killed by signal 9")
    told = [record for record in Journal(tmp_path / "jobs.jsonl").read().records if record["event"] == "died"]
    assert [record["error_message"] for record in told] == ["killed by signal 9"] * 2


def test_records_of_no_known_job_or_of_no_shape_are_passed_over() -> None:
    job = tree.tree_of(Job(0, "SOL", "aggressive", "merge"))
    records = [1, {"event": "completed", "job_id": "x"}, {"event": "enqueued", "job": {"round": "0"}}]
    assert fold(records) == {}
    assert list(
        fold([*records, {"event": "enqueued", "job": job}, {"event": "started", "job_id": "r0.SOL.aggressive.merge.0"}])
    ) == ["r0.SOL.aggressive.merge.0"]


def test_a_journal_that_grew_too_long_moves_aside(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    rotated = Journal(path, max_bytes=200)
    for number in range(20):
        rotated.append({"number": number, "text": "x" * 20})
    assert path.stat().st_size < 300
    numbers = [r["number"] for p in (Path(f"{path}.1"), path) for r in Journal(p).read().records]
    assert numbers == list(range(numbers[0], 20))


# tree -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"]
    at: float | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    inner: tuple[Inner, ...] = ()
    by_name: Mapping[str, int] = field(default_factory=dict)


def test_a_record_comes_back_as_it_was_and_unknown_keys_are_left_out() -> None:
    one = Outer("x", (Inner("a", 1.5), Inner("b")), {"k": 3})
    assert tree.record_of(Outer, {**tree.tree_of(one), "newer": 1}) == one
    assert tree.record_of(Outer, {"name": "x"}) == Outer("x")


@pytest.mark.parametrize(
    "bad", [None, [], {}, {"name": 1}, {"name": "x", "inner": [{"kind": "c"}]}, {"name": "x", "by_name": {"k": "3"}}]
)
def test_what_is_no_such_record_is_a_value_error(bad: object) -> None:
    with pytest.raises(ValueError):
        tree.record_of(Outer, bad)


@dataclass(frozen=True)
class Chain:
    """Its own types are given by their names, as a record must that stands before what it holds."""

    length: int = 0
    last: "Inner | None" = None
    links: "tuple[Chain, ...]" = ()
    others: tuple["Inner", ...] = ()


def test_types_that_are_given_by_their_names_are_read_as_well() -> None:
    one = Chain(2, Inner("a", 1.5), (Chain(1),), (Inner("b"),))
    assert tree.record_of(Chain, tree.tree_of(one)) == one
    for bad in ({"last": {"kind": "c"}}, {"links": [{"length": "x"}]}, {"others": [{"kind": "c"}]}):
        with pytest.raises(ValueError):
            tree.record_of(Chain, bad)


def test_what_fits_of_a_record_is_one_and_the_rest_is_named() -> None:
    found, wrong = tree.fitted(Chain, {"length": "x", "last": {"kind": "b"}, "links": [{"length": 1}, 7]}, "chain")
    assert found == Chain(last=Inner("b"))
    assert wrong == ("chain.length: 'x' is no int", "chain.links: 7 is no Chain")
    assert tree.fitted(Chain, [1]) == (Chain(), ("the record is [1] and no object",))


# wake -----------------------------------------------------------------------------------------------------------------


def test_a_nudge_wakes_who_listens_and_troubles_nobody_else(tmp_path: Path) -> None:
    pipe = tmp_path / "p" / "a.fifo"
    wake.nudge(pipe)  # nobody there
    pipe.parent.mkdir()
    pipe.write_text("a file in the way")
    ears = wake.listen(pipe)
    for _ in range(70_000):  # more than a pipe holds: nudging never blocks
        wake.nudge(pipe)
    wake.drain(ears)
    wake.nudge(pipe)
    assert os.read(ears, 10) == b"x"
    os.close(ears)


def test_a_wish_is_the_file_it_stands_in_and_nothing_else_is_touched(tmp_path: Path) -> None:
    """Requests whose id names another file, is too long or names a folder, and a file that is no request."""
    folder, outside = tmp_path / "requests", tmp_path / "victim.json"
    outside.write_text("{}")
    made = request.ask(folder, Clock(), "cancel_job", "j", "me", {})
    record = snapshot.read_json(folder / f"{made.request_id}.json")
    snapshot.write_json(folder / "evil.json", {**record, "request_id": "../victim"})
    snapshot.write_json(folder / "long.json", {**record, "evidence": {"x": "y" * 100_000}})
    (folder / "folder.json").mkdir()
    (folder / "torn.json").write_text("{")
    found = [one.request_id for one in request.pending(folder)]
    assert sorted(found) == sorted([made.request_id, "evil"])
    for one in found:
        request.answer(folder, one, False, "no", Clock())
    assert outside.read_text() == "{}"
    assert request.pending(folder) == ()
    assert sorted(path.name for path in (folder / "refused").iterdir()) == sorted(f"{one}.json" for one in found)


def test_a_word_of_the_wrong_kind_is_no_more_than_a_damaged_line() -> None:
    job = Job(0, "SOL", "aggressive", "merge")
    started = {"event": "started", "job_id": job.job_id, "epoch": "x", "worker_id": "w", "lane": "cpu0"}
    died = {"event": "died", "job_id": job.job_id, "error_message": "", "deaths": 1, "last_done": 0}
    records = [{"event": "enqueued", "job": tree.tree_of(job)}, started, {**died, "retry_at_s": "x", "boot_id": "b"}]
    assert fold(records) == {job.job_id: JobState(job)}


_BLIND = """
import os, resource, sys
from pathlib import Path
from state.host import identity
from state.host.identity import Tree
me, tree = identity.mine(), Tree.of(Path(sys.argv[1]), "0" * 32)
lowest = os.dup(0)
os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
looks = lambda: identity.life_of(me), lambda: identity.of(me.pid), lambda: identity.cpu_s(me), lambda: tree.has(1)
for look in looks:
    try:
        print(look())
    except OSError as error:
        print(error.errno)
"""


def test_who_has_no_descriptor_left_takes_nobody_for_dead(tmp_path: Path) -> None:
    """A process that takes the worker for dead would launch its job a second time beside it."""
    command = [sys.executable, "-c", _BLIND, str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [str(errno.EMFILE)] * 4, done.stdout + done.stderr
