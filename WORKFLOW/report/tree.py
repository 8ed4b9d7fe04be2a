"""The result tree of one symbol and mode, and its one writer.

Every file is whole or not there. `run_manifest.json` is written last and names the SHA-256 of every other file, so a
reader who finds it and its sums right has one run's results and no mixture. Files that no manifest names are somebody
else's and stay. Nothing heavy is imported here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from config.errors import Transient
from state.files import private, snapshot
from state.files.artifacts import ALL_TRIALS, MANIFEST, PARETO, PARETO_SVG, PHASE0, SEARCH
from state.files.layout import Roots
from state.files.publication import Publication

OURS = (PHASE0, ALL_TRIALS, SEARCH, PARETO, PARETO_SVG, MANIFEST)  # beside the folders of the bests


@dataclass(frozen=True)
class ResultTree:
    """`Backtests/optimizations/{SYMBOL}/{mode}`."""

    folder: Path

    def write_phase0(self, name: str, record: Mapping[str, Any]) -> tuple[str, ...]:
        """Publish the prescreen's result before the search begins; what was in its way, in words."""
        with private.shared():
            said = Publication(self.folder).make_way(name)
            snapshot.write_json(self.folder / name, record)
        return tuple(said)

    def publish(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """Replace the tree's files by `files` (path inside the tree → content) and end with the manifest.

        All bytes are on disk beside the tree before the first old file is touched: a full disk costs nothing. What is
        not ours stays; returned is what of it was in the way and has another name now, in words.
        """
        with private.shared():
            return Publication(self.folder).publish(files, manifest)

    def finish(self) -> tuple[str, ...]:
        """Put in place what a run that was killed had published by half; see `publish`."""
        with private.shared():
            return Publication(self.folder).finish()

    def sweep(self) -> None:
        """Remove what writers of our files left that were killed."""
        Publication(self.folder).sweep(OURS)


@contextmanager
def writing(roots: Roots, symbol: str, mode: str) -> Iterator[None]:
    """Hold the result tree of one symbol and mode, whole; refuses when another run does."""
    path = roots.lock(symbol, mode)
    with private.shared():
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o600)
    try:
        held = lock.acquire(timeout=0)
    except Timeout as busy:
        raise Transient(
            f"another run is writing {symbol} {mode} under {roots.results} right now",
            "wait for it, take another --mode, or name another RESULTS_ROOT",
        ) from busy
    with held:
        ResultTree(roots.artifacts(symbol, mode)).finish()
        yield
