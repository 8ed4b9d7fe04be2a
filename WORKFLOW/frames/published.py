"""The files of one result tree: each is the one that its manifest names, or is read as it is when somebody asks so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import plain
from config.errors import Refused
from state.files import codec, sealed, snapshot
from state.files.layout import BESTS, MANIFEST, PHASE0
from state.files.publication import Publication, digest_of
from WORKFLOW.frames.tables import not_ours
from WORKFLOW.recount.files import bests_of, manifest_of

AS_IT_IS = "restore the folder whole or run again; verify=False reads files as they are, whoever edited them"


@dataclass(frozen=True)
class Published:
    """A result tree as it was when it was opened. With `verify` it is read as that or not at all."""

    folder: Path
    manifest: dict[str, Any]
    verify: bool

    @classmethod
    def opened(cls, folder: Path, verify: bool) -> "Published":
        """The tree in `folder`.

        Raises:
            Refused: no manifest, or with `verify` one that was changed since it was published.
        """
        manifest = manifest_of(folder)
        if verify and sealed.manifest_is_whole(manifest) is False:
            raise Refused(f"{folder / MANIFEST} is not what was published: somebody edited it", AS_IT_IS)
        return cls(folder, manifest, verify)

    @property
    def name(self) -> str:
        """`SOL/aggressive`."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def bests(self) -> tuple[str, ...]:
        """The strategies that it holds."""
        if self.verify:
            return tuple(bests_of(self.manifest))
        return tuple(best for best in BESTS if (self.folder / best).is_dir())

    def read(self, name: str) -> bytes:
        """A file of the tree.

        Raises:
            Refused: it is not there, cannot be read, or with `verify` is not the one that was published.
        """
        path = self.folder / name
        if self.verify and name not in self.manifest["files"]:
            raise Refused(f"{path} is none of the files that {MANIFEST} names", AS_IT_IS)
        try:
            data = plain.read_bytes(path)
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}", self._way_out()) from error
        if self.verify and digest_of(data) != self.manifest["files"][name]:
            raise self._changed(path)
        return data

    def record(self, name: str) -> dict[str, Any]:
        """A JSON file of the tree; errors as for `read`."""
        data = self.read(name)
        with ours(self.folder / name):
            record = codec.decode(data)
            if not isinstance(record, dict):
                raise TypeError("it is no JSON object")
            return record

    def _changed(self, path: Path) -> Refused:
        if snapshot.read_json(self.folder / MANIFEST) != self.manifest:
            said = f"a later run has replaced the result in {self.folder} since it was opened"
            return Refused(said, f"open it again: frames.result({str(self.folder)!r})")
        if path.name == PHASE0:
            said = (
                f"{path} is not the file that {MANIFEST} names: a later round has published its prescreen, or somebody"
            )
            return Refused(f"{said} edited it", f"wait for the round to end; {AS_IT_IS}")
        return Refused(f"{path} is not the file that {MANIFEST} names: somebody edited it", self._way_out())

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
