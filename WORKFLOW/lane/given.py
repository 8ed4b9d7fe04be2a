"""What one worker has in hands: its launch, the folders it reads and writes, and how it says how far it is."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from config import settings as operator
from state import lease, snapshot
from state.heartbeat import Pulse
from state.layout import Roots, RoundFolder, RunFolder
from state.orders import SwarmOrder
from state.workers import Launch
from WORKFLOW.command_line import Order
from WORKFLOW.lane import refinement

LEAST_HELD = 64  # combos worked on at a time, however often memory ran out


class Outdated(Exception):
    """What an earlier phase left does not fit any more: the next try may find it right."""


@dataclass
class Worker:
    """A launch, where it reads and writes, and how it says how far it is."""

    launch: Launch
    roots: Roots
    swarm_order: SwarmOrder
    pulse: Pulse

    @property
    def round_folder(self) -> RoundFolder:
        """The files of this round."""
        return self.roots.swarm_run(self.launch.run_id).round(self.launch.job.round)

    @property
    def folder(self) -> RunFolder:
        """The files of this symbol and mode."""
        return self.round_folder.unit(*self.launch.job.unit)

    @cached_property
    def order(self) -> Order:
        """The run's order for this symbol and mode; round r has the seed base + r."""
        settings = operator.of_tree(self.swarm_order.settings)
        seed = (settings.run.seed + self.launch.job.round) % 2**32
        path = self.swarm_order.data_path
        return Order(
            symbol=self.launch.job.symbol,
            mode=self.launch.job.mode,
            data_path=None if path is None else Path(path),
            engine=self._engine,
            repair=self.swarm_order.repair,
            fresh=False,
            as_json=False,
            settings=operator.with_values(settings, run={"seed": seed}),
        )

    @property
    def _engine(self) -> str:
        """On a GPU's lane that GPU or none; on a CPU's what no GPU is meant for."""
        if self.launch.gpu:
            return "gpu"
        return "native" if self.swarm_order.engine == "gpu" else self.swarm_order.engine

    @property
    def threads(self) -> int:
        """Its cores; where memory ran out before, half as many each time."""
        return max(1, self.launch.cores >> self.launch.ooms)

    @property
    def held(self) -> int | None:
        """The most combos of a prescreen worked on at a time; None: what its engine likes, several batches on a GPU.

        Where memory ran out before, half a batch, then half as much each time.
        """
        batch = self.order.settings.prescreen.batch_combos
        return max(LEAST_HELD, batch >> self.launch.ooms) if self.launch.ooms else None

    @property
    def log(self) -> Path:
        """The job's own log."""
        return self.roots.worker_log(self.launch.run_id, self.launch.job.job_id)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far it is; leave when a newer worker has the job."""
        if self.pulse.at(done, total, note):
            self.still_mine()

    def beat(self) -> None:
        """Say that it lives, no further than it was."""
        self.progress(self.pulse.last.done, self.pulse.last.total, self.pulse.last.note)

    def still_mine(self) -> None:
        """Raise `Superseded` when a newer worker has the job, or nobody knows of this one any more."""
        if not self.roots.launch(self.launch.worker_id).exists():
            raise lease.Superseded(f"{self.launch.worker_id}: its launch record is gone")
        lease.check(self.round_folder.lease(self.launch.job.job_id), self.launch.epoch)

    def round_before(self) -> RunFolder | None:
        """The files of this symbol and mode in the round before this one."""
        number = self.launch.job.round - 1
        folder = self.roots.swarm_run(self.launch.run_id).round(number)
        return folder.unit(*self.launch.job.unit) if number >= 0 else None

    def carried(self) -> dict[str, Any]:
        """What the round before this one hands on: tries so far, and the parameters of its bests."""
        before = self.round_before()
        if before is None:
            return {"tries": 0, "seeds": []}
        record = snapshot.read_json(before.carried)
        return refinement.added(
            before, self._fills(), record if isinstance(record, dict) else {"tries": 0, "seeds": []}
        )

    def _fills(self) -> list[int]:
        """Which refinements of the round before this one builds on: fixed when it began."""
        begun = snapshot.read_json(self.round_folder.begun)
        fills = begun.get("fills", {}) if isinstance(begun, dict) else {}
        return list(fills.get(" ".join(self.launch.job.unit), ()))
