"""The one reader of result trees: it lists them, and reads their manifests and the files of their best strategies.

`state/files/publication.py` writes them. A tree is the folder of a symbol and mode; its manifest holds the SHA-256 of
every other file. Code that promotes, exports or counts a result again reads with `data` and `record`, which refuse a
file that differs from the manifest. A table of all results shows everything that can be read, with `seen` and
`seen_record`.
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
    """The folder of a symbol and mode, and its manifest, which is a JSON object and otherwise unchecked."""

    folder: Path
    manifest: Record

    @property
    def name(self) -> str:
        """The symbol and the mode, as in `SOL/aggressive`."""
        return "/".join(self.folder.parts[-2:])

    @property
    def sums(self) -> dict[str, Any]:
        """The SHA-256 of each file by its path inside the tree, as the manifest holds them; {} when it holds none."""
        files = self.manifest.get("files")
        return files if isinstance(files, dict) else {}

    @property
    def is_whole(self) -> bool | None:
        """Whether the manifest is as it was published; None when an earlier version wrote it without its own sum."""
        return sealed.manifest_is_whole(self.manifest)

    @property
    def bests(self) -> list[str]:
        """The best strategies that the manifest names, in the order of the measures."""
        return [best for best in BESTS if f"{best}/validation.json" in self.sums]

    def data(self, name: str) -> bytes:
        """Return the contents of one file, if they are those that the manifest names.

        Raises:
            Refused: the file differs, or cannot be read.
        """
        path = self.folder / name
        try:
            data = plain.read_bytes(path)
        except OSError as error:
            raise Refused(f"{_not_the_one(path)}: {error.strerror}", AGAIN) from None
        # The sum is taken of the bytes that are returned, so the file cannot change between check and use.
        if hashlib.sha256(data).hexdigest() != self.sums.get(name):
            raise Refused(_not_the_one(path), AGAIN)
        return data

    def record(self, name: str) -> Record:
        """Return the contents of one JSON file, such as `config.json` or `metrics.json` of a best strategy.

        Raises:
            Refused: as `data`; or the file holds no JSON object.
        """
        try:
            record = codec.decode(self.data(name))
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise Refused(f"{self.folder / name} holds no record", AGAIN)
        return record

    def seen_record(self, name: str) -> Record:
        """Return the contents of a JSON file without comparing it with the manifest; {} without a JSON object."""
        record = snapshot.read_json(self.folder / name)
        return record if isinstance(record, dict) else {}

    def holds(self, name: str) -> bool:
        """Whether a file of any size is the one that the manifest names.

        Raises:
            OSError: the file cannot be read.
        """
        with plain.opened(self.folder / name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sums.get(name)


# lists of result trees ------------------------------------------------------------------------------------------------


def trees(results: Path) -> Iterator[PublishedTree]:
    """Yield every tree under `results` (`Roots.optimizations`) whose manifest can be read, sorted by name."""
    for folder in folders(results):
        if (tree := seen(folder)) is not None:
            yield tree


def folders(results: Path) -> list[Path]:
    """Return the folders of symbols and modes that hold a manifest, in the order of their names."""
    return [folder for folder in _units(results) if (folder / MANIFEST).is_file()]


def published(results: Path) -> list[Path]:
    """Return the folders in which anything was published, even if only half. A prescreen alone does not count."""
    parts = (MANIFEST, ALL_TRIALS, *BESTS)
    return [
        folder
        for folder in _units(results)
        if any((folder / part).exists() for part in parts) or Publication(folder).half() is not None
    ]


def of_bests(results: Path, name: str) -> list[Path]:
    """Return the file `name` of every best strategy that has it, in the order of trees, then of measures."""
    paths = (folder / best / name for folder in _units(results) for best in BESTS)
    return [path for path in paths if path.is_file()]


def _units(results: Path) -> list[Path]:
    """Return the folders of symbols and modes. A name that begins with a dot belongs to a publication under way."""
    found = sorted(results.glob("*/*")) if results.is_dir() else []
    return [path for path in found if not path.name.startswith(".") and not path.parent.name.startswith(".")]


# one result tree ------------------------------------------------------------------------------------------------------


def read(folder: Path) -> PublishedTree:
    """Return the tree in `folder`.

    Raises:
        Refused: the folder has no manifest, or one that cannot be read.
    """
    try:
        manifest = snapshot.read_json(folder / MANIFEST)
    except OSError as error:
        raise Refused(f"{folder} cannot be read: {error.strerror}", _NAME_ONE) from None
    if not isinstance(manifest, dict):
        raise Refused(f"{folder / MANIFEST} is missing or not JSON", _NAME_ONE)
    return PublishedTree(folder, manifest)


def seen(folder: Path) -> PublishedTree | None:
    """Return the tree in `folder`; None when it has no manifest that can be read."""
    try:
        return read(folder)
    except Refused:
        return None


def _not_the_one(path: Path) -> str:
    return f"{path} is not the file that {MANIFEST} names"
