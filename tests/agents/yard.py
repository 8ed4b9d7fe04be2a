"""A state root with real processes in it, and cycles driven by hand under a clock that is told when to move.

Workers are stand-ins: real processes that carry the nonce of a launch record and do what a test says, with heartbeats
written under the test's clock. What agents launch themselves is the product's own worker.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agents.machine import processes
from agents.runtime.cycle import Done, run_cycle
from config import settings
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.files.tree import record_of, tree_of
from state.host import identity
from state.host.clock import stamp
from state.records import orders
from state.records.heartbeat import Heartbeat, Pulse
from state.records.jobs import Job, JobJournal, JobState
from state.records.workers import Launch
from tests.agents.worlds import ORDER

WAIT = "import sys; sys.stdin.read()"


class Shifted:
    """The machine's clocks, moved on by hand: what real processes write stays comparable."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.wall_off_s = 0.0  # what an operator or NTP did to the wall clock alone

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s + self.wall_off_s)

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass
class Yard:
    """Roots, a clock, and the processes that were started."""

    roots: Roots
    clock: Shifted = field(default_factory=Shifted)
    children: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def jobs(self) -> JobJournal:
        """The jobs of round 0."""
        return JobJournal(Journal(self.roots.swarm_run("bt-1").round(0).jobs), self.clock)

    @property
    def environment(self) -> dict[str, str]:
        """For commands that work on these roots."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TMUX", "STATE_", "LOGS_", "PYTEST"))}
        return kept | {
            "RESULTS_ROOT": str(self.roots.results),
            "VENV_PATH": sys.prefix,
            "TMUX_TMPDIR": str(self.roots.results),
        }

    def state(self, job: Job) -> JobState:
        """How a job stands."""
        return self.jobs.states()[job.job_id]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The job journal's records of one kind."""
        records = Journal(self.roots.swarm_run("bt-1").round(0).jobs).read().records
        return [record for record in records if record.get("event") == event]

    def cycle(self, name: str = "worker_sentry", after_s: float = 0.0) -> list[str]:
        """Move the clock, then one cycle; what it did, as `kind target`."""
        return [f"{one['kind']} {one['target']}" for one in self.cycled(name, after_s).actions]

    def cycled(self, name: str = "worker_sentry", after_s: float = 0.0) -> Done:
        """The same, whole."""
        self.clock.ahead_s += after_s
        return run_cycle(name, self.roots, clock=self.clock)

    def enqueued(self, phase: Any = "report", symbol: str = "SOL", **more: Any) -> Job:
        """A job in the journal."""
        job = Job(0, symbol, "aggressive", phase, **more)
        self.jobs.enqueue([job])
        return job

    def worker(self, job: Job, code: str = WAIT, epoch: int = 1) -> tuple[Launch, "subprocess.Popen[bytes]", Pulse]:
        """A stand-in at work on a job, with a heartbeat that says 5 of 100."""
        nonce = os.urandom(16).hex()
        child = self.process(code, nonce)
        one = identity.of(child.pid)
        assert one is not None
        worker_id = f"{job.job_id}.e{epoch}"
        now_s, at = self.clock.monotonic_s(), stamp(self.clock.now())
        launch = Launch(worker_id, "bt-1", job, epoch, nonce, "cpu0", 1, at, now_s, identity.boot_id())
        self.jobs.started(job.job_id, epoch, worker_id, "cpu0")
        snapshot.write_json(self.roots.launch(worker_id), tree_of(launch))
        beat = Heartbeat(worker_id, job.job_id, epoch, one, job.phase, 0, 100, None, "", 0, now_s, at)
        pulse = Pulse(self.roots.heartbeat(worker_id), self.clock, beat)
        pulse.at(5, 100)
        return launch, child, pulse

    def process(self, code: str, nonce: str) -> "subprocess.Popen[bytes]":
        """A process of this swarm, once it is up."""
        environment = self.environment | {"STATE_ROOT": str(self.roots.state), identity.NONCE: nonce}
        ready = f"import os; os.write(1, b'!'); {code}"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = subprocess.Popen([sys.executable, "-c", ready], env=environment, cwd=CHECKOUT, **pipes)
        assert child.stdout is not None
        assert child.stdout.read(1) == b"!"
        self.children.append(child)
        return child

    def ended(self) -> None:
        """Wait until every worker that the product launched has ended and its wrapper has said how."""
        for path in self.roots.workers.glob("*.json"):
            launch = record_of(Launch, snapshot.read_json(path))
            if launch.wrapper is not None:
                wait_for_end(launch.wrapper.pid)

    def close(self) -> None:
        """Nothing that carries this root survives."""
        for one in identity.of_swarm(self.roots.state):
            processes.send(one, signal.SIGKILL)
        for child in self.children:
            child.kill()
            child.communicate()


def wait_for_end(pid: int, for_s: float = 60.0) -> None:
    """Until the process is dead, reaped or not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = select.select([descriptor], [], [], for_s)
        assert ready, f"{pid} does not end"
    finally:
        os.close(descriptor)


def wait_for_stop(pid: int) -> None:
    """Until a child of ours is in state T."""
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def fill(roots: Roots, symbols: tuple[str, ...] = ("SOL", "BTC"), **swarm: Any) -> None:
    """Settings (one lane, if nobody says otherwise), an order, and an empty round 0."""
    changed = {"lanes": {"count": 1}, **swarm}
    tree = settings.tree_of(settings.with_values(settings.load({}), swarm=changed))
    snapshot.write_json(roots.settings, tree)
    orders.write(roots.swarm_run("bt-1").order, replace(ORDER, symbols=symbols, settings=tree))
    snapshot.write_json(roots.current_run, {"run_id": "bt-1"})
    snapshot.write_json(roots.swarm_run("bt-1").round(0).begun, {"at": ORDER.started_at, "dropped": {}})


@contextmanager
def yard(**swarm: Any) -> Iterator[Yard]:
    """In memory where there is such a place: these tests do thousands of cycles, each with a durable write."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="bt-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        one = Yard(Roots.from_environment({"RESULTS_ROOT": folder}))
        fill(one.roots, **swarm)
        try:
            yield one
        finally:
            one.close()
