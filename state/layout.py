"""Every path the product writes, in one place.

Roots come from the environment (`RESULTS_ROOT`, `STATE_ROOT`, `LOGS_ROOT`); by default all of them lie under
`state/run` in the checkout, which git ignores.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.errors import Refused

CHECKOUT = Path(__file__).resolve().parent.parent

PHASE0 = "phase0_top500.json"
ALL_TRIALS = "all_trials.json"
MANIFEST = "run_manifest.json"
BESTS = ("best_sharpe", "best_returns", "lowest_drawdown", "best_winrate")


@dataclass(frozen=True)
class Roots:
    """Where results, state and logs of one installation lie."""

    results: Path
    state: Path
    logs: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Roots":
        """The roots that the environment names, or the checkout's own; creates nothing."""
        environment = os.environ if environment is None else environment
        results = _folder(environment, "RESULTS_ROOT", CHECKOUT / "state" / "run")
        return cls(
            results=results,
            state=_folder(environment, "STATE_ROOT", results / "state"),
            logs=_folder(environment, "LOGS_ROOT", results / "logs"),
        )

    def artifacts(self, symbol: str, mode: str) -> Path:
        """`Backtests/optimizations/{SYMBOL}/{mode}`: what users read."""
        return self.results / "Backtests" / "optimizations" / symbol / mode

    def demo_data(self) -> Path:
        """The generated bars, kept between runs."""
        return self.results / "demo"

    def run(self, run_id: str) -> "RunFolder":
        """The working files of one run."""
        return RunFolder(self.state / "runs" / run_id)

    def runs(self) -> list["RunFolder"]:
        """All runs on file, oldest first (run ids sort by time)."""
        folder = self.state / "runs"
        return [RunFolder(path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []

    def lock(self, symbol: str, mode: str) -> Path:
        """The lock of one result tree, beside it so that it holds whatever STATE_ROOT is; the kernel frees it."""
        return self.artifacts(symbol, mode).with_name(f".{mode}.lock")

    def log(self, run_id: str) -> Path:
        """The plain log of one run."""
        return self.logs / f"{run_id}.log"


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
    def claims(self) -> Path:
        """Which trial is being evaluated by a living process."""
        return self.path / "claims"


@dataclass(frozen=True)
class Owned:
    """One kind of file: who writes it, who reads it, and when it counts as stale."""

    path: str
    writer: str
    readers: str
    fresh_for: str


CATALOG: tuple[Owned, ...] = (
    Owned("STATE_ROOT/runs/<RUN_ID>/run.json", "the pipeline", "the pipeline (resume)", "for ever"),
    Owned("STATE_ROOT/runs/<RUN_ID>/in_sample.npy", "the pipeline", "search processes", "the run"),
    Owned("STATE_ROOT/runs/<RUN_ID>/search.json", "the pipeline", "search processes", "the run"),
    Owned("STATE_ROOT/runs/<RUN_ID>/prescreen.json", "the pipeline", "the pipeline (resume)", "the run"),
    Owned("STATE_ROOT/runs/<RUN_ID>/study.jsonl", "search processes, under its lock", "search, report", "for ever"),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/claims/<TRIAL>.lock", "the search process that evaluates it", "search", "held lock"
    ),
    Owned("STATE_ROOT/runs/<RUN_ID>/search.err", "search processes", "people", "for ever"),
    Owned("RESULTS_ROOT/Backtests/optimizations/<SYMBOL>/.<MODE>.lock", "the pipeline", "the pipeline", "held lock"),
    Owned("LOGS_ROOT/<RUN_ID>.log", "the pipeline", "people", "for ever"),
    Owned("RESULTS_ROOT/Backtests/optimizations/<SYMBOL>/<MODE>/", "the pipeline", "people, programs", "for ever"),
    Owned("RESULTS_ROOT/demo/SYNTHETIC_5m.parquet", "the demo generator", "the pipeline", "for ever"),
)


def catalog_page() -> str:
    """`state/README.md`: the catalog as a table (a test keeps the file equal)."""
    rows = "\n".join(f"| `{o.path}` | {o.writer} | {o.readers} | {o.fresh_for} |" for o in CATALOG)
    return (
        "# Files, their one writer, their readers\n\n"
        "Rendered from `state/layout.py` by `python -m state.layout`; a test keeps both equal.\n\n"
        "| file | writer | readers | fresh for |\n|---|---|---|---|\n" + rows + "\n"
    )


def _folder(environment: Mapping[str, str], variable: str, default: Path) -> Path:
    text = environment.get(variable, "")
    if not text:
        return default
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise Refused(f"{variable} is {text}, which is not a folder", f"name a folder, or unset {variable}")
    return path


if __name__ == "__main__":
    (CHECKOUT / "state" / "README.md").write_text(catalog_page(), encoding="utf-8")
