"""Every record with every value of a wrong shape, and every reader of it: `python -m tests.shapes.fuzz [--probes N]`.

Without a number all probes are made, some fifty thousand; that takes an hour or two. A reader that raises is named with
the record, the place in it and the value. Exit code 0: nobody raised.
"""

import argparse
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from state.files import codec
from state.files.layout import Roots
from tests.shapes.readers import READERS, Reader
from tests.shapes.root import filled, records
from tests.shapes.shapes import GONE, Way, damages, replaced

_LONG_BYTES = 20_000  # a cycle journal's line with its world is read for a replay alone, which compares it


@dataclass(frozen=True)
class Probe:
    """One value in one record; `line` of a journal."""

    path: Path
    line: int | None
    way: Way
    value: Any

    def __str__(self) -> str:
        value = "nothing" if self.value is GONE else repr(self.value)[:40] if not isinstance(self.value, int) else "int"
        where = ".".join(map(str, self.way)) or "the whole"
        return f"{self.path.name}{'' if self.line is None else f':{self.line}'} {where} = {value}"


@dataclass(frozen=True)
class Crash:
    """A reader that raised."""

    probe: Probe
    reader: str
    error: str
    site: str


def probes(roots: Roots) -> list[Probe]:
    """Yield all probes, in the same order each time."""
    return [probe for path in records(roots) for probe in _of(path)]


def _of(path: Path) -> Iterator[Probe]:
    if path.suffix == ".json":
        yield from (Probe(path, None, way, value) for way, value in damages(codec.decode(path.read_bytes())))
        return
    for number, line in enumerate(path.read_bytes().splitlines()):
        if len(line) < _LONG_BYTES and path.parent.name != "cycles":
            yield from (Probe(path, number, way, value) for way, value in damages(codec.decode(line)))


def made(probe: Probe, roots: Roots, readers: Mapping[str, Reader] = READERS) -> Iterator[Crash]:
    """Damage the record, ask every reader, and put the record back."""
    before = probe.path.read_bytes()
    probe.path.write_bytes(_damaged(before, probe))
    try:
        for name, read in readers.items():
            try:
                read(roots)
            except Exception as error:
                frames = [one for one in traceback.extract_tb(error.__traceback__) if "/tests/" not in one.filename]
                site = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "the test itself"
                yield Crash(probe, name, f"{type(error).__name__}: {error}"[:200], site)
    finally:
        probe.path.write_bytes(before)


def _damaged(before: bytes, probe: Probe) -> bytes:
    if probe.line is None:
        return codec.encode(replaced(codec.decode(before), probe.way, probe.value))
    lines = before.splitlines(keepends=True)
    lines[probe.line] = codec.encode_line(replaced(codec.decode(lines[probe.line]), probe.way, probe.value))
    return b"".join(lines)


def spread(found: list[Probe], number: int) -> list[Probe]:
    """So many of them, over all records: a stride that shares no factor with the number of shapes."""
    step = max(1, len(found) // max(1, number))
    while step > 1 and any(step % prime == 0 for prime in (2, 3, 5, 7, 11, 23)):
        step -= 1
    return found[::step][:number]


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.shapes.fuzz", description=__doc__)
    parser.add_argument("--probes", type=int, metavar="N", help="only so many, spread over all records")
    parser.add_argument("--only", default="", metavar="TEXT", help="only records whose path holds it")
    parser.add_argument("--reader", choices=list(READERS), help="only this one is asked")
    asked = parser.parse_args(argv)
    readers = {name: read for name, read in READERS.items() if asked.reader in (None, name)}
    sites: dict[tuple[str, str], Crash] = {}
    with filled() as place:
        found = [one for one in probes(place.roots) if asked.only in str(one.path)]
        chosen = found if asked.probes is None else spread(found, asked.probes)
        for number, probe in enumerate(chosen, 1):
            for crash in made(probe, place.roots, readers):
                if (crash.reader, crash.site) not in sites:
                    sites[crash.reader, crash.site] = crash
                    print(f"\n{crash.reader} raises at {crash.site}: {crash.error}\n  {probe}", flush=True)
            if number % 20 == 0 or number == len(chosen):
                print(f"\r{number:,} of {len(chosen):,} probes, {len(sites)} sites", end="", flush=True)
    print()
    return 1 if sites else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
