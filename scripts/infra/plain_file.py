"""Read a record that may be anything: a plain file alone, as far as a record may go, in microseconds."""

import os
import stat

_MOST_BYTES = 64 << 20
_PIECE = 1 << 20

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost as much as all the rest
if TYPE_CHECKING:
    from typing import BinaryIO


def read(path: str, most: int = _MOST_BYTES) -> bytes:
    """The content of a plain file. A pipe is never waited for.

    Raises:
        OSError: it is no plain file, longer than `most`, not there, or not readable.
    """
    with _opened(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(f"{path} is no record")
        return file.read()


def lines(path: str, longest: int) -> "list[bytes]":
    """The whole lines of a plain file, without those that are longer than `longest`, which take no memory either.

    Raises:
        OSError: it is no plain file, not there, or not readable.
    """
    with _opened(path) as file:
        if os.fstat(file.fileno()).st_size <= _MOST_BYTES:
            return file.read().rpartition(b"\n")[0].split(b"\n")
        found = []
        while line := file.readline(longest):
            end = line
            while not end.endswith(b"\n") and (end := file.readline(_PIECE)):
                pass
            if line.endswith(b"\n"):
                found.append(line[:-1])
        return found


def _opened(path: str) -> "BinaryIO":
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = open(descriptor, "rb")  # noqa: PTH123, SIM115 - pathlib takes longer than all the rest
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(f"{path} is no record")
    return file
