"""Append-only JSONL that many processes write and none can poison.

One `os.write` a record on O_APPEND under a lock (0 bad of 41,760 lines with 8 writers); a writer that was killed in
mid-record leaves a torn tail, which the next writer cuts back to the last newline. Readers never cut and never wait:
they take whole lines only. A line in the middle that is not JSON is reported beside the good ones, never dropped in
silence.
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

_BAD_BYTES = 1_000_000
_BAD_LINE_BYTES = 10_000  # of a line that is no record are kept: enough to tell what it was
_AT_ONCE = 64 << 20  # bytes of a journal that are read in one piece: it is compacted or rotated long before
_PIECE = 1 << 20
_TAIL_BYTES = 65_536  # the longest record that the end of a journal is searched for


@dataclass(frozen=True)
class Page:
    """What one read found: whole records in order, lines that are none (the head of a long one), where to go on."""

    records: tuple[Any, ...]
    bad_lines: tuple[bytes, ...]
    next_offset: int


@dataclass(frozen=True)
class Journal:
    """One JSONL file and the lock file beside it. The kernel drops the lock of a process that dies.

    `durable`: an append returns only when the disk has it. Without, a power cut may take the last records (never tear
    the others); a killed process loses nothing either way. `max_bytes`: an append that finds more moves the file to
    `<name>.1` first (0: never); what was there before goes.
    """

    path: Path
    durable: bool = True
    max_bytes: int = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the journal's lock; not reentrant. Blocks until it is free."""
        with flock.held(Path(f"{self.path}.lock")):
            yield

    def append(self, *records: Any) -> None:
        """Add records, durably, all or none of each: see `append_lines`."""
        self.append_lines(codec.encode_line(record) for record in records)

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Add lines that the caller encoded (each ends in a newline, holds no other).

        Raises:
            OSError: the disk is full or the file not writable; then the journal is as it was before the failing line.
        """
        with snapshot.naming(self.path), self.locked():
            self._rotate()
            descriptor = _opened(self.path)
            try:
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
        """Put the records that `shorter` makes of all of them in their place; writers wait, readers see old or new.

        What was there before lies in `<name>.1`; lines that are no records move to `<name>.bad`,
        the beginning of each. Killed anywhere, the
        journal is the one or the other, whole. Offsets of earlier reads mean nothing afterwards.

        Raises:
            OSError: the disk is full, …; then the journal is as it was.
        """
        with snapshot.naming(self.path), self.locked():
            page = self.read()
            lines = [codec.encode_line(record) for record in shorter(page.records)]
            if page.bad_lines:
                Journal(self.path.with_name(f"{self.path.name}.bad"), max_bytes=_BAD_BYTES).append_lines(
                    line[:_BAD_LINE_BYTES] + b"\n" for line in page.bad_lines
                )
            snapshot.sweep(self.path.parent, self.path.name)  # of one that was killed here
            before = self.path.with_name(f"{self.path.name}.1")
            before.unlink(missing_ok=True)
            os.link(self.path, before)
            snapshot.write_bytes(self.path, b"".join(lines))

    def _rotate(self) -> None:
        if self.max_bytes and self.path.exists() and self.path.stat().st_size > self.max_bytes:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))

    def read(self, offset: int = 0) -> Page:
        """Every whole record from byte `offset` on; an unterminated last line is left for the next read."""
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
        """The last whole record, also of the file before a rotation; None when there is none, or it is no JSON."""
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
    """Every whole line, the beginnings of those that are longer than any record, and how many bytes they all take."""
    if size > _AT_ONCE:
        return _one_by_one(file)
    whole, newline, _ = file.read().rpartition(b"\n")
    return whole.split(b"\n") if newline else [], [], len(whole) + len(newline)


def _one_by_one(file: BinaryIO) -> tuple[list[bytes], list[bytes], int]:
    """The same where the whole would take more memory than a cycle should: a long line is passed over in pieces."""
    lines, long, taken = list[bytes](), list[bytes](), 0
    while line := file.readline(codec.LONGEST_LINE):
        length, end = len(line), line
        while not end.endswith(b"\n") and (end := file.readline(_PIECE)):
            length += len(end)
        if not end:  # a last line that is still being written, or torn
            break
        taken += length
        if length == len(line):
            lines.append(line[:-1])
        else:
            long.append(line[:_BAD_LINE_BYTES])
    return lines, long, taken


def _opened(path: Path) -> int:
    """To append to; never through a link, since a torn tail is cut, and never a pipe, which would be waited for."""
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
        while rest:  # a full disk or a file-size limit takes what fits; asked for the rest, the system says why
            rest = rest[os.write(descriptor, rest) :]
    except BaseException:  # a Ctrl-C between two writes, too
        os.ftruncate(descriptor, end)
        raise
