"""Replace a set of files in a folder by a new set, so that at every moment one of the two sets is whole.

The new set is written beside the folder, to `.<NAME>.publishing/<ID>.new`. Its manifest is written first, as the record
of what we make there. When the whole set is on disk, one rename to `ready` decides: before it, the old set is
untouched; after it, the new set is whole in `ready` until it is whole in its place. When the process is killed in
between, `finish` does the rest; it may be called at any time and repeatedly. A file that no manifest names is not ours:
it is left where it is, or renamed when one of our files needs its place.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from config import plain
from config.record import dataclass
from state.files import codec, sealed, snapshot
from state.files.artifacts import MANIFEST, PHASE0

_READY = "ready"
_LEFTOVER = re.compile(r"[0-9a-f]{8}\.(new|gone)")


@dataclass(frozen=True)
class Half:
    """A publication that was cut short: where the new set lies, how much of it is in place, whether it is whole."""

    ready: Path
    in_place: int
    files: int
    is_whole: bool


@dataclass(frozen=True)
class Publication:
    """A folder whose files are replaced together. Only one process at a time may publish into it."""

    folder: Path

    @property
    def _beside(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.publishing")

    @property
    def _ready(self) -> Path:
        return self._beside / _READY

    def publish(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """Replace the set by `files` (path inside the folder → contents) and a manifest with their sums.

        Returns:
            A sentence for each file of others that had to be renamed.

        Raises:
            OSError: the disk is full, for instance. Until the new set is whole on disk, the old one is as it was; after
                that, `finish` does the rest.
        """
        # An earlier publication is completed first, since its set may be the only whole one.
        self.finish()
        self._must_take(files)
        if os.path.lexists(self._beside) and not _is_folder(self._beside):
            _step_aside(self._beside)
        new = self._beside / f"{os.urandom(4).hex()}.new"
        sums = {name: digest_of(data) for name, data in sorted(files.items())}
        try:
            snapshot.write_bytes(new / MANIFEST, codec.encode(sealed.manifest({**manifest, "files": sums})))
            for name, data in files.items():
                snapshot.write_bytes(new / name, data)
        except BaseException:
            self._discard(new)
            raise
        if os.path.lexists(self._ready):  # it is damaged or not ours, because `finish` would have removed it otherwise
            self._ready.rename(self._gone() if self.half() else _aside(self._ready))
        # This rename decides: from here on, the new set is the one that `finish` completes.
        new.rename(self._ready)
        snapshot.sync_folder(self._beside)
        return self._put_in_place(sums)

    def _must_take(self, names: Iterable[str]) -> None:
        """Raise PermissionError, before the decision, when a folder cannot take its files: half would be placed."""
        for folder in sorted({self.folder, *((self.folder / name).parent for name in names)}):
            if _is_folder(folder) and not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    def finish(self) -> tuple[str, ...]:
        """Complete a publication that was cut short, and remove what killed ones left; see `publish`."""
        said: tuple[str, ...] = ()
        half = self.half()
        if half is not None and half.is_whole:
            said = self._put_in_place(sums_of(self._ready))
        for path in self._beside.iterdir() if _is_folder(self._beside) else ():
            if _LEFTOVER.fullmatch(path.name):
                self._discard(path)
        with contextlib.suppress(OSError):
            self._beside.rmdir()
        return said

    def half(self) -> Half | None:
        """Return the publication that was cut short; None when there is none."""
        sums = sums_of(self._ready) if _is_folder(self._ready) else {}
        if not sums:
            return None
        in_place = sum(_is(self.folder / name, total) for name, total in sums.items())
        is_whole = all(_is(self._ready / name, total) for name, total in sums.items())
        return Half(self._ready, in_place, len(sums), is_whole)

    def _gone(self) -> Path:
        return self._beside / f"{os.urandom(4).hex()}.gone"

    # from beside the folder into its place ----------------------------------------------------------------------------

    def _put_in_place(self, sums: Mapping[str, str]) -> tuple[str, ...]:
        """Move the set in `ready` into its place.

        The process may be killed after any step, so each step is harmless when it is repeated.
        """
        before = sums_of(self.folder)
        self.sweep({*before, *sums, PHASE0, MANIFEST})
        said = []
        for name, total in sums.items():
            # Only a file that the old manifest names, or that already has the new contents, may be replaced.
            is_mine = name in before or name == PHASE0 or _is(self.folder / name, total)
            said += self._put(name, is_mine)
        # Files of the old set go only when the new ones are in place, and the manifest comes last.
        for name in before.keys() - sums.keys():
            self._drop(name, before[name])
        said += self._put(MANIFEST, is_mine=True)
        for folder in sorted({(self.folder / name).parent for name in (*sums, MANIFEST)}):
            snapshot.sync_folder(folder)
        gone = self._gone()
        self._ready.rename(gone)
        self._discard(gone)
        return tuple(said)

    def _put(self, name: str, is_mine: bool) -> list[str]:
        """Link the file in `ready` into its place, or copy it where the file system has no hard links."""
        source, target = self._ready / name, self.folder / name
        said = self.make_way(name, is_mine)
        target.parent.mkdir(parents=True, exist_ok=True)
        if _same(source, target):
            return said
        temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
        # A link, so that the file also stays in `ready`: the set there must be whole until the last step.
        try:
            os.link(source, temporary, follow_symlinks=False)
        except OSError:
            snapshot.write_bytes(target, plain.read_bytes(source))
        else:
            temporary.replace(target)
        return said

    def make_way(self, name: str, is_mine: bool = True) -> list[str]:
        """Rename what is not ours in the place of `name` (a link, a folder, a file); return a sentence for each."""
        said = []
        *folders, target = [*reversed((self.folder / name).parents), self.folder / name]
        for path in folders:
            if path.is_relative_to(self.folder) and path != self.folder and os.path.lexists(path):
                said += [] if _is_folder(path) else [_step_aside(path)]
        if os.path.lexists(target) and not (_is_file(target) and is_mine):
            said.append(_step_aside(target))
        return said

    def _drop(self, name: str, total: str) -> None:
        """Remove a file of the old set that the new set lacks, unless the file was edited since."""
        path = self.folder / name
        if _is_folder(path.parent) and _is(path, total):
            path.unlink(missing_ok=True)
        if path.parent != self.folder:
            with contextlib.suppress(OSError):  # the folder holds other files
                path.parent.rmdir()

    def sweep(self, mine: Iterable[str]) -> None:
        """Remove the temporary files of these names that killed writers left."""
        for name in mine:
            path = self.folder / name
            if _is_folder(path.parent):
                snapshot.sweep(path.parent, path.name)

    def _discard(self, folder: Path) -> None:
        """Remove a set beside the folder: the files that its manifest names, and the manifest last."""
        if not _is_folder(folder):
            return
        sums = sums_of(folder)
        for name in (*sums, MANIFEST):
            path = folder / name
            if _is_folder(path.parent):
                snapshot.sweep(path.parent, path.name)
                if _is_file(path):
                    path.unlink()
                if path.parent != folder:
                    with contextlib.suppress(OSError):
                        path.parent.rmdir()
        for empty in (folder, self._beside):
            with contextlib.suppress(OSError):
                empty.rmdir()


def digest_of(data: bytes) -> str:
    """Return the SHA-256 as manifests hold it."""
    return hashlib.sha256(data).hexdigest()


def sums_of(folder: Path) -> dict[str, str]:
    """Return name and SHA-256 of every file in a folder's manifest, without names that lead out; {} without one."""
    record = snapshot.read_json(folder / MANIFEST)
    files = record.get("files") if isinstance(record, dict) else None
    return {name: str(total) for name, total in files.items() if _is_inside(name)} if isinstance(files, dict) else {}


def strangers(folder: Path) -> Iterator[str]:
    """Yield what lies in `folder` and is not in its manifest: a person's own files, or those of an editor."""
    sums = sums_of(folder)
    own = {str(PurePosixPath(name).parent) for name in sums} | {"."}
    for name in sorted(own):
        for path in sorted((folder / name).iterdir()) if _is_folder(folder / name) else ():
            inside = str(path.relative_to(folder))
            if inside not in sums and inside not in own and inside not in (MANIFEST, PHASE0):
                yield inside


# helpers --------------------------------------------------------------------------------------------------------------


def _is_inside(name: str) -> bool:
    """Whether a manifest may hold this name: a file in the folder, or in a folder directly below it."""
    parts = PurePosixPath(name).parts
    return bool(parts) and len(parts) <= 2 and ".." not in parts and not name.startswith("/") and name != MANIFEST


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(_mode(path))


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(_mode(path))


def _is(path: Path, total: str) -> bool:
    """Whether `path` is a plain file with this SHA-256, and no link."""
    try:
        with plain.opened(path) as file:
            return _is_file(path) and hashlib.file_digest(file, "sha256").hexdigest() == total
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except OSError:
        return False


def _aside(path: Path) -> Path:
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.not-ours-{number}")):
        number += 1
    return aside


def _step_aside(path: Path) -> str:
    aside = _aside(path)
    path.rename(aside)
    return f"{path} was not ours and in the way: it is {aside.name} now"
