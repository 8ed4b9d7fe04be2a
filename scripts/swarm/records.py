"""Read large records of the swarm quickly: only lines that hold a wanted name are decoded."""

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from config import plain
from state.files import codec

_TAIL_BYTES = 4_096
_WORLD, _DECISION = b',"world":', b',"decision":'


def rotated(path: Path) -> tuple[Path, ...]:
    """Return the rotated file, if there is one, and the file itself: older lines first."""
    return tuple(one for one in (path.with_name(f"{path.name}.1"), path) if one.is_file())


def lines_with(path: Path, words: Iterable[str]) -> Iterator[bytes]:
    """Yield every whole line of the rotated file and the file that holds one of the words."""
    needles = [word.encode() for word in words]
    for one in rotated(path):
        try:
            with one.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from _found(data, needles)
        except (OSError, ValueError):  # the file is gone at this moment, or empty: an empty file cannot be mapped
            continue


def records_with(path: Path, words: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the records in the lines that hold one of the words. Lines without a record are skipped as damage."""
    for line in lines_with(path, words):
        record = _decoded(line)
        if isinstance(record, dict):
            yield record


def decisions_with(path: Path, words: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield cycle records whose reason or decision holds one of the words, without the world of that cycle.

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
    """Return the newest records, oldest first, each without its world, which is long."""
    found: list[dict[str, Any]] = []
    for one in reversed(rotated(path)):
        lines = reversed(_last_lines(one, number - len(found)))
        decoded = (_decoded(_without_world(line)) for line in lines)
        found += [record for record in decoded if isinstance(record, dict)]
    return found[::-1]


_WAY_OUT = "→ "  # the beginning of a refusal's second line


def last_line(path: Path) -> str:
    """Return the last line with text, and for a way out also the line before it; "" when the file cannot be read."""
    try:
        with plain.opened(path) as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            said = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    except OSError:
        return ""
    last = [line.strip() for line in said if line.strip()][-2:]
    return " ".join(last if last and last[-1].startswith(_WAY_OUT) else last[-1:])


def _found(data: mmap.mmap, needles: list[bytes]) -> Iterator[bytes]:
    """Yield the lines that hold one of the words, jumping from one occurrence to the next."""
    nexts = {needle: data.find(needle) for needle in needles}
    while places := [at for at in nexts.values() if at >= 0]:
        start = data.rfind(b"\n", 0, min(places)) + 1
        end = data.find(b"\n", min(places))
        if end < 0:  # a last line without its end is not a record yet
            return
        yield data[start:end]
        nexts = {n: (data.find(n, end) if 0 <= at < end else at) for n, at in nexts.items()}


def _without_world(line: bytes) -> bytes:
    world, decision = line.find(_WORLD), line.rfind(_DECISION)
    return line if world < 0 else line[:world] + (line[decision:] if decision > world else b"}")


def _last_lines(path: Path, number: int) -> list[bytes]:
    """Return the last whole lines, however long they are."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = data.rfind(b"\n")
            lines: list[bytes] = []
            while end > 0 and len(lines) < number:
                start = data.rfind(b"\n", 0, end) + 1
                lines.append(data[start:end])
                end = start - 1
            return lines[::-1]
    except (OSError, ValueError):  # the file is gone at this moment, or empty
        return []


def _decoded(line: bytes) -> Any:
    try:
        return codec.decode_line(line)
    except ValueError:
        return None
