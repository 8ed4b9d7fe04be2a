"""Append-only JSONL files that many processes write, and that no killed writer can make unreadable.

Each record is one `os.write` with O_APPEND under a lock (measured: 0 bad of 41,760 lines with 8 writers). A writer that
is killed in the middle of a record leaves a torn tail, which the next writer cuts back to the last newline. Readers
neither cut nor wait: they take only whole lines. A line in the middle that is not JSON is reported beside the good
records, never dropped silently.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from config import plain
from config.record import dataclass
from state.files import codec, flock, snapshot

_BAD_BYTES = 1_000_000  # size from which on the file of bad lines is rotated
_BAD_LINE_BYTES = 10_000  # how much is kept of a line that is no record: enough to tell what it was
_AT_ONCE = 64 << 20  # bytes up to which a journal is read in one piece; journals are compacted or rotated long before
_PIECE = 1 << 20  # bytes that are read at a time to get over a line that is too long
_TAIL_BYTES = 65_536  # how far from its end a journal is searched for its last record


@dataclass(frozen=True)
class Page:
    """What one read found: the records in order, the lines that are no records, and the offset of the next read.

    Of a bad line that is very long, only the beginning is kept.
    """

    records: tuple[Any, ...]
    bad_lines: tuple[bytes, ...]
    next_offset: int


@dataclass(frozen=True)
class Journal:
    """One JSONL file, and the lock file beside it. The kernel frees the lock of a process that dies.

    With `durable`, an append returns only when the disk has the records. Without, a power cut may lose the last records
    but never damages others; a killed process loses nothing either way. An append that finds more than `max_bytes`
    first moves the file to `<name>.1`, whose old contents are lost; 0 means never.
    """

    path: Path
    durable: bool = True
    max_bytes: int = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait for the journal's lock and hold it; not reentrant."""
        with flock.held(Path(f"{self.path}.lock")):
            yield

    def append(self, *records: Any) -> None:
        """Append records, each completely or not at all; see `append_lines`."""
        self.append_lines(codec.encode_line(record) for record in records)

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Append lines that the caller encoded. Each ends in a newline and holds no other.

        Raises:
            OSError: the disk is full, or the file is not writable. The journal is then as it was before the failing
            line.
        """
        with snapshot.naming(self.path), self.locked():
            self._rotate()
            descriptor = _opened(self.path)
            try:
                # Only a writer, under the lock, may cut: to a reader, a record that is being written looks the same as
                # a torn one.
                end = _cut_torn_tail(descriptor)
                is_new = end == 0
                for line in lines:
                    _write_whole(descriptor, line, end)
                    end += len(line)
                if self.durable:
                    os.fsync(descriptor)
                    if is_new:
                        snapshot.sync_folder(self.path.parent)
            finally:
                os.close(descriptor)

    def rewrite(self, shorter: Callable[[tuple[Any, ...]], Iterable[Any]]) -> None:
        """Replace all records by those that `shorter` makes of them. Writers wait; readers see the old or the new file.

        The old file is kept as `<name>.1`, and the beginning of each line that is no record moves to `<name>.bad`.
        After a kill at any point, the journal is either the old or the new file. Offsets of earlier reads mean nothing
        afterwards.

        Raises:
            OSError: the disk is full, for instance. The journal is then as it was.
        """
        with snapshot.naming(self.path), self.locked():
            page = self.read()
            lines = [codec.encode_line(record) for record in shorter(page.records)]
            if page.bad_lines:
                Journal(self.path.with_name(f"{self.path.name}.bad"), max_bytes=_BAD_BYTES).append_lines(
                    line[:_BAD_LINE_BYTES] + b"\n" for line in page.bad_lines
                )
            # removes what an earlier rewrite left when it was killed at this point
            snapshot.sweep(self.path.parent, self.path.name)
            # The old file gets a second name first, so that there is a journal at every moment.
            before = self.path.with_name(f"{self.path.name}.1")
            before.unlink(missing_ok=True)
            os.link(self.path, before)
            snapshot.write_bytes(self.path, b"".join(lines))

    def _rotate(self) -> None:
        if self.max_bytes and self.path.exists() and self.path.stat().st_size > self.max_bytes:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))

    def read(self, offset: int = 0) -> Page:
        """Return every whole record from byte `offset` on; a last line without a newline is left for the next read."""
        try:
            with plain.opened(self.path) as file:
                file.seek(offset)
                lines, bad, taken = _lines(file, os.fstat(file.fileno()).st_size - offset)
        except (FileNotFoundError, plain.NotPlain):
            return Page((), (), offset)
        records = []
        for line in lines:
            try:
                records.append(codec.decode_line(line))
            except ValueError:
                bad.append(line)
        return Page(tuple(records), tuple(bad), offset + taken)

    def last(self) -> Any:
        """Return the last whole record, also from before a rotation; None when there is none, or it is not JSON."""
        # Right after a rotation, the last record is still in the file that was moved aside.
        for path in (self.path, self.path.with_name(f"{self.path.name}.1")):
            with contextlib.suppress(FileNotFoundError, plain.NotPlain), plain.opened(path) as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().rpartition(b"\n")[0].split(b"\n")
                if lines[-1]:
                    with contextlib.suppress(ValueError):
                        return codec.decode(lines[-1])
                    return None
        return None


def _lines(file: BinaryIO, size: int) -> tuple[list[bytes], list[bytes], int]:
    """Return the whole lines, the beginnings of lines longer than any record, and the bytes that all of them take."""
    if size > _AT_ONCE:
        return _one_by_one(file)
    whole, newline, _ = file.read().rpartition(b"\n")
    return whole.split(b"\n") if newline else [], [], len(whole) + len(newline)


def _one_by_one(file: BinaryIO) -> tuple[list[bytes], list[bytes], int]:
    """Return what `_lines` does, for a file too large for memory: lines are read singly, long ones in pieces."""
    lines, long, taken = list[bytes](), list[bytes](), 0
    while line := file.readline(codec.LONGEST_LINE):
        length, end = len(line), line
        while not end.endswith(b"\n") and (end := file.readline(_PIECE)):
            length += len(end)
        if not end:  # the last line is still being written, or torn
            break
        taken += length
        if length == len(line):
            lines.append(line[:-1])
        else:
            long.append(line[:_BAD_LINE_BYTES])
    return lines, long, taken


def _opened(path: Path) -> int:
    """Open the file for appending.

    A link is refused, because a torn tail would be cut in the file that it points to; a pipe, because it would block.

    Raises:
        OSError: the file is a link, is no plain file, or cannot be opened.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            why = "it is a link, and what it points to may be somebody else's: remove the link"
            raise OSError(errno.ELOOP, why, str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise plain.NotPlain(errno.EINVAL, "it is no plain file: remove it", str(path))
    return descriptor


def _cut_torn_tail(descriptor: int) -> int:
    """Cut the file back to its last newline, and return its new size."""
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        start = max(0, end - 65_536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        os.ftruncate(descriptor, end)
    return end


def _write_whole(descriptor: int, line: bytes, end: int) -> None:
    rest = line
    try:
        while rest:  # a full disk or a size limit accepts only a part; the write of the rest then raises the reason
            rest = rest[os.write(descriptor, rest) :]
    except BaseException:  # also after a Ctrl-C between two writes, no part of the line may stay
        os.ftruncate(descriptor, end)
        raise
