"""The result tree of one symbol and mode, and its one writer.

Every file is whole or not there. `run_manifest.json` is written last and names the SHA-256 of every other file, so a
reader who finds it and its sums right has one run's results and no mixture. Nothing heavy is imported here.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from config.errors import Refused
from state import codec, private, snapshot
from state.layout import BESTS, MANIFEST, PARETO, PARETO_SVG, Roots


@dataclass(frozen=True)
class ResultTree:
    """`Backtests/optimizations/{SYMBOL}/{mode}`."""

    folder: Path

    def write_phase0(self, name: str, record: Mapping[str, Any]) -> None:
        """Publish the prescreen's result before the search begins."""
        with private.shared():
            snapshot.write_json(self.folder / name, record)

    def publish(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        """Replace the tree's files by `files` (path inside the tree → content) and end with the manifest.

        All bytes are on disk beside the tree before the first old file is touched: a full disk costs nothing.
        """
        with private.shared():
            self._publish(files, manifest)

    def _publish(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        staging = self.folder.with_name(f".{self.folder.name}.staging")
        shutil.rmtree(staging, ignore_errors=True)
        try:
            for name, data in files.items():
                snapshot.write_bytes(staging / name, data)
            sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
            manifest_bytes = codec.encode({**manifest, "files": sums})
            snapshot.write_bytes(staging / MANIFEST, manifest_bytes)
            (self.folder / MANIFEST).unlink(missing_ok=True)
            for name in (*files, MANIFEST):
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if name == MANIFEST:
                    self._drop_strangers(set(files))
                (staging / name).replace(target)
            snapshot.sync_folder(self.folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _drop_strangers(self, mine: set[str]) -> None:
        """Files of an earlier run that this one has no counterpart for would be read as this run's."""
        for name in {PARETO, PARETO_SVG} - mine:
            (self.folder / name).unlink(missing_ok=True)
        for best in BESTS:
            folder = self.folder / best
            for path in folder.iterdir() if folder.is_dir() else ():
                if f"{best}/{path.name}" not in mine:
                    path.unlink()
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def writing(roots: Roots, symbol: str, mode: str) -> Iterator[None]:
    """Hold the result tree of one symbol and mode; refuses when another run does."""
    path = roots.lock(symbol, mode)
    with private.shared():
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o600)
    try:
        held = lock.acquire(timeout=0)
    except Timeout as busy:
        raise Refused(
            f"another run is writing {symbol} {mode} under {roots.results} right now",
            "wait for it, take another --mode, or name another RESULTS_ROOT",
        ) from busy
    with held:
        yield
