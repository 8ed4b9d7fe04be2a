"""Open plain files only: reading a pipe in its place could wait for ever, and reading a device could never end."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


class NotPlain(OSError):
    """A pipe, a socket or a device lies where a file was expected."""


class TooLong(OSError):
    """The file holds more bytes than a file of its kind can have."""


def opened(path: Path) -> BufferedReader:
    """Open a plain file, or a link to one, for reading. This function never waits.

    Raises:
        NotPlain: `path` is a pipe, a socket or a device.
        OSError: `path` is a folder, does not exist, or cannot be read.
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
    """Return the whole content of a plain file, `most` bytes at most; see `opened` for further errors.

    Raises:
        TooLong: the file holds more than `most` bytes; none of them was read.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise TooLong(errno.EFBIG, f"it has {size:,} bytes, where {most:,} are the most", str(path))
        return file.read() if most is None else file.read(most)


def _not_plain(path: Path) -> NotPlain:
    return NotPlain(errno.EINVAL, "it is a pipe, a socket or a device, and no plain file", str(path))
