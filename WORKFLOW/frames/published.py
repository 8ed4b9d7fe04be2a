"""The files of one result tree: each is the one that its manifest names, or is read as it is when somebody asks so."""

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
    """A result tree as it was when it was opened. With `verify` it is read as that or not at all."""

    tree: PublishedTree
    verify: bool

    @classmethod
    def opened(cls, folder: Path, verify: bool) -> "Published":
        """The tree in `folder`.

        Raises:
            Refused: no manifest, or with `verify` one that was changed since it was published.
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
        """`run_manifest.json`."""
        return self.tree.manifest

    @property
    def bests(self) -> tuple[str, ...]:
        """The strategies that it holds."""
        if self.verify:
            return tuple(self.tree.bests)
        return tuple(best for best in BESTS if (self.folder / best).is_dir())

    def read(self, name: str) -> bytes:
        """A file of the tree.

        Raises:
            Refused: it is not there, cannot be read, or with `verify` is not the one that was published.
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
        """A JSON file of the tree; errors as for `read`."""
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
    """Errors about what a file holds, as refusals that name it."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise not_ours(path, error) from error
