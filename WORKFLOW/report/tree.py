"""The result tree of one symbol and mode, and its only writer.

Every file is either whole or missing. `run_manifest.json` is written last and holds the SHA-256 of every other file. A
reader who finds it with matching hashes has the results of one run and no mixture. Files that no manifest names belong
to somebody else and stay. This module imports nothing heavy.
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

OURS = (PHASE0, ALL_TRIALS, SEARCH, PARETO, PARETO_SVG, MANIFEST)  # besides the folders of the bests


@dataclass(frozen=True)
class ResultTree:
    """The folder `Backtests/optimizations/{SYMBOL}/{mode}`."""

    folder: Path

    def write_phase0(self, name: str, record: Mapping[str, Any]) -> tuple[str, ...]:
        """Publish the prescreen's result before the search begins; return messages on files that were in the way."""
        with private.shared():
            said = Publication(self.folder).make_way(name)
            snapshot.write_json(self.folder / name, record)
        return tuple(said)

    def publish(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """Replace the tree's files by `files` (path inside the tree → content), and end with the manifest.

        All bytes are on disk beside the tree before the first old file is touched, so a full disk loses nothing. Files
        that are not ours stay. If such a file was in the way, it gets another name, and a returned message says so.
        """
        with private.shared():
            return Publication(self.folder).publish(files, manifest)

    def finish(self) -> tuple[str, ...]:
        """Complete the publication that a killed run left half done; see `publish`."""
        with private.shared():
            return Publication(self.folder).finish()

    def sweep(self) -> None:
        """Remove what killed writers of our files have left."""
        Publication(self.folder).sweep(OURS)


@contextmanager
def writing(roots: Roots, symbol: str, mode: str) -> Iterator[None]:
    """Hold the lock of the result tree of one symbol and mode; refuse if another run holds it."""
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
