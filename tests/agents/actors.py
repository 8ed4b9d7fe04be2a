"""An agent's loop and a worker on the simulated kernel: see `programs.py`.

A loop runs the product's own cycles, rescue and look for new code. A worker takes the real lease and writes real
heartbeats and a real result, and computes nothing.
"""

import errno
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.machine.observe import limits_of
from agents.registry import RESCUE, Row
from agents.runtime import loop
from agents.runtime.cycle import Held, NewerSchema, run_cycle
from config.errors import Refused
from state.files import snapshot
from state.files.tree import record_of, tree_of
from state.host import code
from state.host.clock import SystemClock, stamp
from state.records import lease
from state.records.heartbeat import Heartbeat, Pulse
from state.records.workers import Launch, Result
from tests.agents.kernel import Process

if TYPE_CHECKING:
    from tests.agents.programs import Machine

COMES_UP_S = 1.0  # a Python with the control plane
_UNWRITABLE = (errno.EROFS, errno.ENOSPC)
_STEP_S = 2.0
_SHORT, _LONG, _LONG_SHARE = (2, 5), (15, 40), 0.2  # steps of a job: units are soon in different phases


@dataclass(eq=False)
class Loop:
    """The parent of one agent, as agents/runtime/loop.py runs it."""

    machine: "Machine"
    process: Process
    row: Row
    due_s: float = 0.0
    began_s: float = 0.0
    is_at_it: bool = False

    def begin(self) -> None:
        """What `main` does, once Python is up; also when it executes itself anew."""
        kernel, roots = self.machine.kernel, self.machine.roots
        if self.process.life == "T":
            kernel.after(0.5, self.begin)
        if self.process.life != "R":
            return
        self.me = {"identity": tree_of(self.process.identity), "began_s": SystemClock().monotonic_s()}
        try:
            snapshot.write_json(roots.loop(self.row.name), self.me)
        except OSError:
            kernel.end(self.process, "it cannot write", 1)
            return
        self.sources = loop.Sources(self.row.name, code.control())
        self.machine._wakes[str(roots.pipe(self.row.name))] = self.nudged
        self._due(0.0)

    def nudged(self) -> None:
        """A cycle soon, never two at once."""
        if self.process.lives and not self.is_at_it:
            wait_s = max(0.0, self.began_s + loop._SHORTEST_S - self.machine.kernel.now_s)
            if self.machine.kernel.now_s + wait_s < self.due_s:
                self._due(wait_s)

    def _due(self, wait_s: float) -> None:
        self.due_s = mine = self.machine.kernel.now_s + wait_s
        self.machine.kernel.after(wait_s, lambda: self.turn() if self.due_s == mine else None)

    def turn(self) -> None:
        """One time around."""
        if self.process.life == "T":
            self._due(0.5)
        if self.process.life != "R" or self.is_at_it:
            return
        self.is_at_it, self.began_s = True, self.machine.kernel.now_s
        self.machine.kernel.act(self.process, self._turn)
        self.is_at_it = False

    def _turn(self) -> None:
        roots, name = self.machine.roots, self.row.name
        limits = limits_of(roots)
        self._cycle(name, "")
        if loop.nobody_heals(roots, limits):
            self._cycle(RESCUE.name, name)
        if self.sources.are_new():
            self.due_s = 0.0
            self.machine.kernel.after(COMES_UP_S, self.begin)
            return
        if not roots.loop(name).exists():
            loop._say(roots.loop(name), self.me)
        self._due(self.row.cadence_s * limits.agents.cadence_scale * self.machine.random.uniform(1.0, 1.02))

    def _cycle(self, name: str, by: str) -> None:
        """As `loop._child` takes it."""
        self.machine.cycles += 1
        began_s = self.machine.kernel.now_s
        try:
            run_cycle(name, self.machine.roots, by=by)
            if not by:
                self.machine.cycled_s[name] = began_s
        except (Held, NewerSchema, Refused):
            pass
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                self.machine.crashes.append(f"{name}: {traceback.format_exc()}")
        except Exception:
            self.machine.crashes.append(f"{name}: {traceback.format_exc()}")


@dataclass(eq=False)
class Work:
    """One worker: the lease, heartbeats, a result; exit codes as WORKFLOW/pipeline/lane/worker.py has them."""

    machine: "Machine"
    process: Process
    path: Path
    done: int = 0

    def step(self) -> None:
        """Begin, go on, or end."""
        if self.process.life == "T":
            self.machine.kernel.after(0.5, self.step)
        if self.process.life != "R":
            return
        try:
            self.machine.kernel.check_disk()
            is_over = self._goes_on()
        except lease.Superseded:
            self.machine.kernel.end(self.process, "a newer worker had taken over", 4)
        except (OSError, ValueError):
            self.machine.kernel.end(self.process, "it could not go on", 3)
        else:
            if is_over:
                self.machine.kernel.end(self.process, "it was done")
            else:
                self.machine.kernel.after(_STEP_S, self.step)

    def _goes_on(self) -> bool:
        launch = record_of(Launch, snapshot.read_json(self.path)) if self.done == 0 else self.launch
        folder = self.machine.roots.swarm_run(launch.run_id).round(launch.job.round)
        job = launch.job
        if self.done == 0:
            self.launch, self.total = launch, self._steps()
            lease.take(folder.lease(job.job_id), launch.epoch, launch.worker_id)
            now_s, at = SystemClock().monotonic_s(), stamp(SystemClock().now())
            one, words = self.process.identity, (launch.worker_id, job.job_id, launch.epoch)
            beat = Heartbeat(*words, one, job.phase, 0, self.total, None, "", 0, now_s, at)
            self.pulse = Pulse(self.machine.roots.heartbeat(launch.worker_id), SystemClock(), beat)
        lease.check(folder.lease(job.job_id), launch.epoch)
        self.done += 1
        self.pulse.at(self.done, self.total + 1)
        if self.done <= self.total:
            return False
        result = Result(job.job_id, launch.epoch, "completed", metrics={"worker": launch.worker_id})
        snapshot.write_json(folder.result(job.job_id), tree_of(result))
        return True

    def _steps(self) -> int:
        random = self.machine.random
        return random.randint(*(_LONG if random.random() < _LONG_SHARE else _SHORT))
