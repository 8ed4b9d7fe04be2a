"""Read what the swarm wrote down, quickly however much there is: only lines that name what is asked for are decoded."""

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from config import plain
from state.files import codec

_TAIL_BYTES = 4_096
_WORLD, _DECISION = b',"world":', b',"decision":'


def rotated(path: Path) -> tuple[Path, ...]:
    """The file that moved aside, if there is one, and the file itself: older lines first."""
    return tuple(one for one in (path.with_name(f"{path.name}.1"), path) if one.is_file())


def lines_with(path: Path, words: Iterable[str]) -> Iterator[bytes]:
    """Every whole line of the file, and of the one that moved aside, that holds one of the words."""
    needles = [word.encode() for word in words]
    for one in rotated(path):
        try:
            with one.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from _found(data, needles)
        except (OSError, ValueError):  # gone in this moment, or empty: an empty file cannot be mapped
            continue


def records_with(path: Path, words: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The records in those lines; a line that is none is passed over, as the reader of a damaged file must."""
    for line in lines_with(path, words):
        record = _decoded(line)
        if isinstance(record, dict):
            yield record


def decisions_with(path: Path, words: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Cycle records whose reason or decision names one of the words, without the world they were decided on.

    A world names every job there is and is most of a line's bytes, so it is cut out before anything is decoded.
    """
    words = tuple(words)
    for line in lines_with(path, words):
        short = _without_world(line)
        if any(word.encode() in short for word in words):
            record = _decoded(short)
            record = _decoded(line) if record is None else record
            if isinstance(record, dict):
                yield record


def last_records(path: Path, number: int) -> list[dict[str, Any]]:
    """The newest so many records, oldest first, each without the world it was decided on: one of those is too long."""
    found: list[dict[str, Any]] = []
    for one in reversed(rotated(path)):
        lines = reversed(_last_lines(one, number - len(found)))
        decoded = (_decoded(_without_world(line)) for line in lines)
        found += [record for record in decoded if isinstance(record, dict)]
    return found[::-1]


_WAY_OUT = "→ "  # how the second line of a refusal begins


def last_line(path: Path) -> str:
    """The last line that says something, a way out with what it leads out of; nothing when it cannot be read."""
    try:
        with plain.opened(path) as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            said = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    except OSError:
        return ""
    last = [line.strip() for line in said if line.strip()][-2:]
    return " ".join(last if last and last[-1].startswith(_WAY_OUT) else last[-1:])


def _found(data: mmap.mmap, needles: list[bytes]) -> Iterator[bytes]:
    """Line after line, jumping from one occurrence to the next."""
    nexts = {needle: data.find(needle) for needle in needles}
    while places := [at for at in nexts.values() if at >= 0]:
        start = data.rfind(b"\n", 0, min(places)) + 1
        end = data.find(b"\n", min(places))
        if end < 0:  # an unterminated last line is not a record yet
            return
        yield data[start:end]
        nexts = {n: (data.find(n, end) if 0 <= at < end else at) for n, at in nexts.items()}


def _without_world(line: bytes) -> bytes:
    world, decision = line.find(_WORLD), line.rfind(_DECISION)
    return line if world < 0 else line[:world] + (line[decision:] if decision > world else b"}")


def _last_lines(path: Path, number: int) -> list[bytes]:
    """The last so many whole lines, however long they are."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = data.rfind(b"\n")
            lines: list[bytes] = []
            while end > 0 and len(lines) < number:
                start = data.rfind(b"\n", 0, end) + 1
                lines.append(data[start:end])
                end = start - 1
            return lines[::-1]
    except (OSError, ValueError):  # gone in this moment, or empty
        return []


def _decoded(line: bytes) -> Any:
    try:
        return codec.decode_line(line)
    except ValueError:
        return None
