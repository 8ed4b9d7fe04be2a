"""Open plain files alone: a pipe in the place of a file would be waited for without end, a device read without end."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


class NotPlain(OSError):
    """A pipe, a socket or a device lies where a file was expected."""


class TooLong(OSError):
    """More bytes than what should lie there could have."""


def opened(path: Path) -> BufferedReader:
    """A plain file, or a link to one, to read from; nothing is waited for.

    Raises:
        NotPlain: it is a pipe, a socket or a device. OSError: it is a folder, not there, not readable.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device without a driver
            raise _not_plain(path) from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise _not_plain(path)


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """All of it, `most` bytes at the most; see `opened`.

    Raises:
        TooLong: it holds more; nothing of it was read.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise TooLong(errno.EFBIG, f"it has {size:,} bytes, where {most:,} are the most", str(path))
        return file.read() if most is None else file.read(most)


def _not_plain(path: Path) -> NotPlain:
    return NotPlain(errno.EINVAL, "it is a pipe, a socket or a device, and no plain file", str(path))
