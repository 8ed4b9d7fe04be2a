"""The files of one run, of a run of the swarm, and of one of its rounds; `layout.Roots` says where they lie."""

from pathlib import Path

from config.record import dataclass
from state.files.artifacts import MANIFEST


@dataclass(frozen=True)
class RunFolder:
    """`STATE_ROOT/runs/<RUN_ID>`: what a run needs to go on after it was stopped."""

    path: Path

    @property
    def record(self) -> Path:
        """What the run computes and how far it is."""
        return self.path / "run.json"

    @property
    def prescreen(self) -> Path:
        """The prescreen's checkpoint."""
        return self.path / "prescreen.json"

    @property
    def bars(self) -> Path:
        """The in-sample bars, as every search process maps them; the holdout is not in this file."""
        return self.path / "in_sample.npy"

    @property
    def bar_labels(self) -> Path:
        """Symbol, tick and origin of the bars in `in_sample.npy`."""
        return self.path / "in_sample.json"

    @property
    def phase0_seeds(self) -> Path:
        """What prescreens of other machines and lanes hand to this one's search; only where some were named."""
        return self.path / "phase0_seeds.json"

    @property
    def carried(self) -> Path:
        """What later rounds of the swarm take over from this one."""
        return self.path / "carried.json"

    @property
    def search(self) -> Path:
        """The search job: what to try, at which costs."""
        return self.path / "search.json"

    @property
    def search_errors(self) -> Path:
        """What search processes had to complain about."""
        return self.path / "search.err"

    @property
    def study(self) -> Path:
        """The Optuna study's journal."""
        return self.path / "study.jsonl"

    @property
    def study_database(self) -> Path:
        """The Optuna study where search.storage is sqlite."""
        return self.path / "study.sqlite3"

    @property
    def study_server(self) -> Path:
        """Lock and address of the process that serves a study in a database."""
        return self.path / "study-server"

    @property
    def preflight(self) -> Path:
        """What the checks of the bars found; the swarm's later phases rely on it."""
        return self.path / "preflight.json"

    def shard(self, number: int) -> Path:
        """The checkpoint of one shard of the swarm's prescreen."""
        return self.path / f"prescreen-{number}.json"

    def refined(self, number: int) -> Path:
        """What one job that only filled a lane has found around the best of the prescreen."""
        return self.path / f"refine-{number}.json"

    @property
    def validation(self) -> Path:
        """What validation has finished, a file a step, until the results are there."""
        return self.path / "validation"

    @property
    def outcome(self) -> Path:
        """What the unit came to: what `--single --json` prints."""
        return self.path / "outcome.json"

    @property
    def manifest(self) -> Path:
        """The manifest that this round has published; the one in the result tree is the last round's."""
        return self.path / MANIFEST

    @property
    def staged(self) -> Path:
        """Artifacts that are complete and wait to be published."""
        return self.path / "staged"

    @property
    def claims(self) -> Path:
        """Which trial is being evaluated by a living process."""
        return self.path / "claims"


@dataclass(frozen=True)
class RoundFolder:
    """`round-<NNNN>` of a swarm run."""

    path: Path

    @property
    def number(self) -> int:
        """Which round it is, from 0."""
        return int(self.path.name.partition("-")[2])

    @property
    def jobs(self) -> Path:
        """The job journal, the only store of this round's jobs."""
        return self.path / "jobs.jsonl"

    @property
    def begun(self) -> Path:
        """When it began, and which units are no longer taken along, with the reason."""
        return self.path / "begun.json"

    def unit(self, symbol: str, mode: str) -> RunFolder:
        """The working files of one symbol and mode."""
        return RunFolder(self.path / symbol / mode)

    def result(self, job_id: str) -> Path:
        """What a job came to, written by its worker as the last thing it does."""
        return self.path / "results" / f"{job_id}.json"

    def lease(self, job_id: str) -> Path:
        """Which epoch of a job counts."""
        return self.path / "leases" / f"{job_id}.json"


@dataclass(frozen=True)
class SwarmRunFolder:
    """`STATE_ROOT/runs/<RUN_ID>` of a run of the swarm: its order and a folder a round."""

    path: Path

    @property
    def order(self) -> Path:
        """What was asked for, every default filled in."""
        return self.path / "order.json"

    @property
    def finished(self) -> Path:
        """There when no round is left to do."""
        return self.path / "finished.json"

    def round(self, number: int) -> RoundFolder:
        """One round's files."""
        return RoundFolder(self.path / f"round-{number:04d}")

    def rounds(self) -> list[RoundFolder]:
        """All rounds begun, in order."""
        return [RoundFolder(path) for path in sorted(self.path.glob("round-*")) if path.is_dir()]
