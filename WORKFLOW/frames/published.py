"""The files of one result tree: each must be the file that the manifest names, unless the user asks for no check."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import plain
from config.errors import Refused
from state.files import codec
from state.files.artifacts import BESTS, MANIFEST, PHASE0
from state.files.publication import Publication
from state.records import results
from state.records.results import PublishedTree
from WORKFLOW.frames.tables import not_ours

AS_IT_IS = "restore the folder whole or run again; verify=False reads files as they are, whoever edited them"


@dataclass(frozen=True)
class Published:
    """A result tree as it was when it was opened. With `verify`, a tree that has changed since is refused."""

    tree: PublishedTree
    verify: bool

    @classmethod
    def opened(cls, folder: Path, verify: bool) -> "Published":
        """Open the tree in `folder`.

        Raises:
            Refused: there is no manifest; or, with `verify`, the manifest was changed since it was published.
        """
        tree = results.read(folder)
        if verify and tree.is_whole is False:
            raise Refused(f"{folder / MANIFEST} is not what was published: somebody edited it", AS_IT_IS)
        return cls(tree, verify)

    @property
    def folder(self) -> Path:
        """The folder of the symbol and mode."""
        return self.tree.folder

    @property
    def manifest(self) -> dict[str, Any]:
        """The record `run_manifest.json`."""
        return self.tree.manifest

    @property
    def bests(self) -> tuple[str, ...]:
        """The bests that the tree holds."""
        if self.verify:
            return tuple(self.tree.bests)
        return tuple(best for best in BESTS if (self.folder / best).is_dir())

    def read(self, name: str) -> bytes:
        """Read a file of the tree.

        Raises:
            Refused: the file is missing or cannot be read; or, with `verify`, it is not the file that was published.
        """
        path = self.folder / name
        if self.verify and name not in self.tree.sums:
            raise Refused(f"{path} is none of the files that {MANIFEST} names", AS_IT_IS)
        try:
            return self.tree.data(name) if self.verify else plain.read_bytes(path)
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}", self._way_out()) from error
        except Refused as refusal:
            raise self._changed(path, refusal.reason) from refusal

    def record(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the tree; the errors are those of `read`."""
        data = self.read(name)
        with ours(self.folder / name):
            record = codec.decode(data)
            if not isinstance(record, dict):
                raise TypeError("it is no JSON object")
            return record

    def _changed(self, path: Path, said: str) -> Refused:
        now = results.seen(self.folder)
        if now is not None and now.manifest != self.manifest:
            said = f"a later run has replaced the result in {self.folder} since it was opened"
            return Refused(said, f"open it again: frames.result({str(self.folder)!r})")
        if path.name == PHASE0 and path.is_file():
            said = f"{said}: a later round has published its prescreen, or somebody edited it"
            return Refused(said, f"wait for the round to end; {AS_IT_IS}")
        return Refused(f"{said}: somebody edited it" if path.is_file() else said, self._way_out())

    def _way_out(self) -> str:
        if Publication(self.folder).half() is None:
            return AS_IT_IS
        symbol, mode = self.folder.parts[-2:]
        return f"a run was killed while it published this result: run {symbol} {mode} again, which puts it in place"


@contextmanager
def ours(path: Path) -> Iterator[None]:
    """Turn errors about the content of a file into refusals that name the file."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise not_ours(path, error) from error
