"""The one reader of result trees: which of them there are, and what each says of itself and of its bests.

`state/files/publication.py` writes them. A tree is the folder of a symbol and mode; its manifest names the SHA-256 of
every other file. What is promoted, exported or counted again is read with `data` and `record`, which refuse a file that
is not the one that the manifest names. A table of all results shows whatever can be read: `seen` and `seen_record`.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config import plain
from config.errors import Refused
from config.record import dataclass
from state.files import codec, sealed, snapshot
from state.files.artifacts import ALL_TRIALS, BESTS, MANIFEST
from state.files.publication import Publication

Record = dict[str, Any]

AGAIN = "search again, or restore the folder whole"
_NAME_ONE = "name the folder of a symbol and mode"


@dataclass(frozen=True)
class PublishedTree:
    """The folder of a symbol and mode, and its manifest, of which nothing is known but that it is a JSON object."""

    folder: Path
    manifest: Record

    @property
    def name(self) -> str:
        """`SOL/aggressive`."""
        return "/".join(self.folder.parts[-2:])

    @property
    def sums(self) -> dict[str, Any]:
        """File, by its path inside of the tree → the SHA-256 that the manifest names; empty where it names none."""
        files = self.manifest.get("files")
        return files if isinstance(files, dict) else {}

    @property
    def is_whole(self) -> bool | None:
        """Whether the manifest is as it was published; None where an earlier version wrote it, without its own sum."""
        return sealed.manifest_is_whole(self.manifest)

    @property
    def bests(self) -> list[str]:
        """The strategies that the manifest names, in the order of the measures."""
        return [best for best in BESTS if f"{best}/validation.json" in self.sums]

    def data(self, name: str) -> bytes:
        """One file, if it is the one that the manifest names.

        Raises:
            Refused: it is another, or cannot be read.
        """
        path = self.folder / name
        try:
            data = plain.read_bytes(path)
        except OSError as error:
            raise Refused(f"{_not_the_one(path)}: {error.strerror}", AGAIN) from None
        if hashlib.sha256(data).hexdigest() != self.sums.get(name):
            raise Refused(_not_the_one(path), AGAIN)
        return data

    def record(self, name: str) -> Record:
        """One JSON file: a best's `config.json`, `metrics.json`, `validation.json`, …

        Raises:
            Refused: as for `data`, or it holds no JSON object.
        """
        try:
            record = codec.decode(self.data(name))
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise Refused(f"{self.folder / name} holds no record", AGAIN)
        return record

    def seen_record(self, name: str) -> Record:
        """The same, whether the manifest names it or not; empty where it is no record."""
        record = snapshot.read_json(self.folder / name)
        return record if isinstance(record, dict) else {}

    def holds(self, name: str) -> bool:
        """Whether a file is the one that the manifest names, whatever its size.

        Raises:
            OSError: it cannot be read.
        """
        with plain.opened(self.folder / name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sums.get(name)


# which there are ------------------------------------------------------------------------------------------------------


def trees(results: Path) -> Iterator[PublishedTree]:
    """Every tree under `Roots.optimizations` whose manifest can be read, in the order of the names."""
    for folder in folders(results):
        if (tree := seen(folder)) is not None:
            yield tree


def folders(results: Path) -> list[Path]:
    """The folders of symbols and modes that hold a manifest, in the order of their names."""
    return [folder for folder in _units(results) if (folder / MANIFEST).is_file()]


def published(results: Path) -> list[Path]:
    """The folders in which anything was published, be it by half; a prescreen alone belongs to a run under way."""
    parts = (MANIFEST, ALL_TRIALS, *BESTS)
    return [
        folder
        for folder in _units(results)
        if any((folder / part).exists() for part in parts) or Publication(folder).half() is not None
    ]


def of_bests(results: Path, name: str) -> list[Path]:
    """The file `name` of every best that has it, in the order of the trees, then of the measures."""
    paths = (folder / best / name for folder in _units(results) for best in BESTS)
    return [path for path in paths if path.is_file()]


def _units(results: Path) -> list[Path]:
    """Folder by symbol and mode; a name that begins with a dot belongs to a publication that is under way."""
    found = sorted(results.glob("*/*")) if results.is_dir() else []
    return [path for path in found if not path.name.startswith(".") and not path.parent.name.startswith(".")]


# one of them ----------------------------------------------------------------------------------------------------------


def read(folder: Path) -> PublishedTree:
    """The tree in `folder`.

    Raises:
        Refused: it has no manifest, or one that cannot be read.
    """
    try:
        manifest = snapshot.read_json(folder / MANIFEST)
    except OSError as error:
        raise Refused(f"{folder} cannot be read: {error.strerror}", _NAME_ONE) from None
    if not isinstance(manifest, dict):
        raise Refused(f"{folder / MANIFEST} is missing or not JSON", _NAME_ONE)
    return PublishedTree(folder, manifest)


def seen(folder: Path) -> PublishedTree | None:
    """The same; None where there is none, or none that can be read."""
    try:
        return read(folder)
    except Refused:
        return None


def _not_the_one(path: Path) -> str:
    return f"{path} is not the file that {MANIFEST} names"
