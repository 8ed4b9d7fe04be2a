"""The context of one worker: its launch, the folders that it reads and writes, and its progress reports."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import settings as operator
from config.errors import Refused
from config.reading import Reading
from state.files import sealed, snapshot
from state.files.layout import Roots
from state.files.run_folders import RoundFolder, RunFolder
from state.files.tree import record_of
from state.host.clock import stamp
from state.host.secrets import redacted
from state.records import lease
from state.records.heartbeat import Pulse
from state.records.holdout import Holdout
from state.records.orders import SwarmOrder
from state.records.workers import Launch
from WORKFLOW.command_line import Order
from WORKFLOW.pipeline.lane import refinement

if TYPE_CHECKING:  # a merge does not need NumPy here
    from WORKFLOW.search.seed_folders import SeedFile

LEAST_HELD = 64  # the fewest combos that are tried at a time, however often memory ran out


class Outdated(Exception):
    """Files of an earlier phase do not fit together; the next worker of the job may find them mended."""


@dataclass
class LaneContext:
    """A launch, the folders that it reads and writes, and the way to report progress."""

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
        """The run's order for this symbol and mode; round r uses the run's seed + r."""
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
            seed_dirs=tuple(map(Path, self.swarm_order.seed_dirs)) if self.launch.job.round == 0 else (),
            allow_wicks=self.swarm_order.allow_wicks,
            reading=Reading(self.swarm_order.date_format, self.swarm_order.timezone),
        )

    @property
    def _engine(self) -> str:
        """The engine of this lane: `gpu` on a GPU lane; on a CPU lane the ordered one, with `native` for `gpu`."""
        if self.launch.gpu:
            return "gpu"
        return "native" if self.swarm_order.engine == "gpu" else self.swarm_order.engine

    @property
    def threads(self) -> int:
        """The threads of this job: its cores, halved for each time that memory ran out before."""
        return max(1, self.launch.cores >> self.launch.ooms)

    @property
    def held(self) -> int | None:
        """The most combos of a prescreen that are tried at a time; with None, the engine decides.

        After memory ran out once, it is half a batch, and it is halved again for each further time.
        """
        batch = self.order.settings.prescreen.batch_combos
        return max(LEAST_HELD, batch >> self.launch.ooms) if self.launch.ooms else None

    @property
    def log(self) -> Path:
        """The log of this job."""
        return self.roots.worker_log(self.launch.run_id, self.launch.job.job_id)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Report progress, and raise `Superseded` if a newer worker has the job."""
        if self.pulse.at(done, total, note):
            self.still_mine()

    def say(self, line: str) -> None:
        """Write one line to the job's log."""
        print(redacted(f"{stamp(self.pulse.clock.now())} {line.strip()}"), flush=True)

    def beat(self) -> None:
        """Report that the worker is alive, without new progress."""
        self.progress(self.pulse.last.done, self.pulse.last.total, self.pulse.last.note)

    def still_mine(self) -> None:
        """Raise `Superseded` if a newer worker has the job, or if this worker's launch record is gone."""
        if not self.roots.launch(self.launch.worker_id).exists():
            raise lease.Superseded(f"{self.launch.worker_id}: its launch record is gone")
        lease.check(self.round_folder.lease(self.launch.job.job_id), self.launch.epoch)

    def round_before(self) -> RunFolder | None:
        """Return the files of this symbol and mode in the round before this one, if there is one."""
        number = self.launch.job.round - 1
        folder = self.roots.swarm_run(self.launch.run_id).round(number)
        return folder.unit(*self.launch.job.unit) if number >= 0 else None

    def seed_files(self) -> "tuple[SeedFile, ...]":
        """Return the seeds from other prescreens for this unit's first round, as pre-flight found them."""
        from WORKFLOW.search import seed_folders

        return seed_folders.of_json(snapshot.read_json(self.folder.phase0_seeds))

    def carried(self) -> dict[str, Any]:
        """Return what the round before hands on: the tries so far, and the parameters of its bests."""
        before = self.round_before()
        if before is None:
            return {"tries": 0, "seeds": []}
        return refinement.added(before, self._fills(), self._handed_on(before))

    def _handed_on(self, before: RunFolder) -> dict[str, Any]:
        """Return what the validation of the round before handed on; a damaged record is made again from its results.

        Raises:
            Refused: those results are gone or changed, too. Without the tries so far, this round would look better
                than it is.
        """
        record = sealed.read_json(before.carried)
        if record is not None or not before.carried.exists():
            return record or {"tries": 0, "seeds": []}
        manifest: Any = snapshot.read_json(before.manifest)
        outcome: Any = snapshot.read_json(before.outcome)
        try:
            bests = [best["parameters"] for best in outcome["bests"].values()]
            tries = int(manifest["tries"]["total"]) if sealed.manifest_is_whole(manifest) else None
        except (AttributeError, LookupError, TypeError, ValueError):
            tries = None
        if tries is None:
            raise Refused(
                f"{before.carried} is not what was written", "begin a new run: stop, then --parallel with a new --seed"
            )
        self.say(f"{before.carried} is not what was written: it is made again from the results of its round")
        made = {"tries": tries, "seeds": list({str(parameters): parameters for parameters in bests}.values())}
        sealed.write_json(before.carried, made)
        return made

    def holdout_before(self) -> Holdout | None:
        """Return the holdout as the round before left it; None if that is unknown."""
        before = self.round_before()
        record = None if before is None else snapshot.read_json(before.outcome)
        try:
            return record_of(Holdout, record.get("holdout")) if isinstance(record, dict) else None
        except ValueError:
            return None

    def _fills(self) -> list[int]:
        """Return the refinements of the round before that this one builds on; they were fixed when this round began."""
        begun = snapshot.read_json(self.round_folder.begun)
        fills = begun.get("fills", {}) if isinstance(begun, dict) else {}
        return list(fills.get(" ".join(self.launch.job.unit), ()))
