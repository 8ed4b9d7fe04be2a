"""Files that are there whole or not at all, whatever happens while they are written.

Measured: rewriting in place gave readers 96 % torn reads, temp + fsync + rename gave none.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from state import codec, private


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path` atomically and durably; on any failure the old file stays and no debris is left.

    Raises:
        OSError: the disk is full, the folder is not writable, …; it names `path`.
    """
    with naming(path):
        _write_bytes(path, data)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give the errors of calls on descriptors, which know no file name, the name of their file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _write_bytes(path: Path, data: bytes) -> None:
    private.folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")  # tempfile would cost a cold cycle 5 ms
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), private.file_mode())
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` of the encoded value."""
    write_bytes(path, codec.encode(value))


def read_json(path: Path) -> Any | None:
    """The value at `path`; None when there is no file or it does not hold JSON (a snapshot can be made anew)."""
    try:
        return codec.decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, ValueError):
        return None


def set_aside(path: Path) -> Path:
    """Give a damaged file the name `<stem>.damaged-<N>`, N from 1, so that nothing of it is lost; where it is now."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    return aside


def sweep(folder: Path) -> None:
    """Remove what writers left that were killed between writing and renaming. Only for who alone writes `folder`."""
    for debris in folder.glob(".*.tmp"):
        debris.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
