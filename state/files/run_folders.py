"""The files of one run, of a run of the swarm, and of one round of it; `layout.Roots` says where they lie."""

from pathlib import Path

from config.record import dataclass
from state.files.artifacts import MANIFEST


@dataclass(frozen=True)
class RunFolder:
    """The working files of a run, or of one unit of a round: what it needs to go on after it was stopped."""

    path: Path

    @property
    def record(self) -> Path:
        """The record of what the run computes and how far it is."""
        return self.path / "run.json"

    @property
    def prescreen(self) -> Path:
        """The prescreen's checkpoint."""
        return self.path / "prescreen.json"

    @property
    def bars(self) -> Path:
        """The in-sample bars, which every search process maps into memory. The holdout is not in this file."""
        return self.path / "in_sample.npy"

    @property
    def bar_labels(self) -> Path:
        """Symbol, tick and origin of the bars in `in_sample.npy`."""
        return self.path / "in_sample.json"

    @property
    def phase0_seeds(self) -> Path:
        """The prescreen results of other machines and lanes that seed this search; only when such files were named."""
        return self.path / "phase0_seeds.json"

    @property
    def carried(self) -> Path:
        """What later rounds of the swarm take over from this round."""
        return self.path / "carried.json"

    @property
    def search(self) -> Path:
        """The description of the search: what to try, at which costs."""
        return self.path / "search.json"

    @property
    def search_errors(self) -> Path:
        """The error output of the search processes."""
        return self.path / "search.err"

    @property
    def study(self) -> Path:
        """The Optuna study's journal."""
        return self.path / "study.jsonl"

    @property
    def study_database(self) -> Path:
        """The Optuna study when search.storage is sqlite."""
        return self.path / "study.sqlite3"

    @property
    def study_server(self) -> Path:
        """The folder with the lock and the address of the process that serves a study in a database."""
        return self.path / "study-server"

    @property
    def preflight(self) -> Path:
        """The result of the checks of the bars, on which the swarm's later phases rely."""
        return self.path / "preflight.json"

    def shard(self, number: int) -> Path:
        """The checkpoint of one shard of the swarm's prescreen."""
        return self.path / f"prescreen-{number}.json"

    def refined(self, number: int) -> Path:
        """What one job that filled an idle lane found near the best of the prescreen."""
        return self.path / f"refine-{number}.json"

    @property
    def validation(self) -> Path:
        """The finished steps of a validation, one file each, until the results are there."""
        return self.path / "validation"

    @property
    def outcome(self) -> Path:
        """The outcome of the unit, as `--single --json` prints it."""
        return self.path / "outcome.json"

    @property
    def manifest(self) -> Path:
        """The manifest that this round published; the result tree holds only that of the last round."""
        return self.path / MANIFEST

    @property
    def staged(self) -> Path:
        """The complete artifacts that wait to be published."""
        return self.path / "staged"

    @property
    def claims(self) -> Path:
        """The folder of locks that show which trial a living process evaluates."""
        return self.path / "claims"


@dataclass(frozen=True)
class RoundFolder:
    """`round-<NNNN>` of a swarm run."""

    path: Path

    @property
    def number(self) -> int:
        """The number of the round, counted from 0."""
        return int(self.path.name.partition("-")[2])

    @property
    def jobs(self) -> Path:
        """The job journal, the only store of this round's jobs."""
        return self.path / "jobs.jsonl"

    @property
    def begun(self) -> Path:
        """The record of when the round began, with which code, and which units are left out of it and why."""
        return self.path / "begun.json"

    def unit(self, symbol: str, mode: str) -> RunFolder:
        """The working files of one symbol and mode."""
        return RunFolder(self.path / symbol / mode)

    def result(self, job_id: str) -> Path:
        """The result of a job; writing it is the last thing that its worker does."""
        return self.path / "results" / f"{job_id}.json"

    def lease(self, job_id: str) -> Path:
        """The lease of a job, which says which epoch, and so which of its workers, counts."""
        return self.path / "leases" / f"{job_id}.json"


@dataclass(frozen=True)
class SwarmRunFolder:
    """`STATE_ROOT/runs/<RUN_ID>` of a run of the swarm: its order, and one folder for each round."""

    path: Path

    @property
    def order(self) -> Path:
        """The order: what was asked for, with every default filled in."""
        return self.path / "order.json"

    @property
    def finished(self) -> Path:
        """The record that exists once the run is complete."""
        return self.path / "finished.json"

    def round(self, number: int) -> RoundFolder:
        """The files of one round, counted from 0."""
        return RoundFolder(self.path / f"round-{number:04d}")

    def rounds(self) -> list[RoundFolder]:
        """Return all rounds that have begun, in order."""
        return [RoundFolder(path) for path in sorted(self.path.glob("round-*")) if path.is_dir()]
