"""Join files of one market in the order of time: equal rows count once, and rows that differ are refused."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused
from WORKFLOW.data.raw import VALUES, RawTable, row_name, utc

_LISTED = 12  # files whose spans a note lists; a year of monthly files


def joined(parts: Sequence[RawTable], names: Sequence[str], source: str) -> RawTable:
    """Join several tables to one; `names` are the names of the files, and `source` is where they lie.

    If each file runs from its oldest row to its newest, so does the result, and rows that two files share count once.
    Other files are put one after the other by their first rows, and pre-flight judges the result.

    Raises:
        Refused: two files give different values for one moment.
    """
    by_start = sorted(range(len(parts)), key=lambda at: (int(parts[at].time_ms[0]), names[at]))
    parts, names = [parts[at] for at in by_start], [names[at] for at in by_start]
    whole = _concatenated(parts, source)
    origin = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    dropped = 0
    if all((np.diff(part.time_ms) > 0).all() for part in parts) and not (np.diff(whole.time_ms) > 0).all():
        whole, dropped = _merged(whole, origin, names)
    return replace(whole, notes=(_said(parts, names, dropped), *_notes(parts, names)))


def _concatenated(parts: Sequence[RawTable], source: str) -> RawTable:
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("time_ms", *VALUES)
    }
    return replace(
        parts[0],
        **columns,
        source=source,
        has_volume=all(part.has_volume for part in parts),
        synthetic=any(part.synthetic for part in parts),
        in_file=np.concatenate([part.numbers for part in parts]),
    )


def _merged(whole: RawTable, origin: NDArray[np.int64], names: Sequence[str]) -> tuple[RawTable, int]:
    order = np.argsort(whole.time_ms, kind="stable")
    columns = {name: getattr(whole, name)[order] for name in ("time_ms", *VALUES)}
    again = np.concatenate([[False], np.diff(columns["time_ms"]) == 0])
    before = np.flatnonzero(again) - 1
    bits = [columns[name].view(np.int64) for name in VALUES]  # compared as bits, NaN equals NaN
    differ = np.zeros(len(order), dtype=bool)
    for column in bits:
        differ[before + 1] |= column[before + 1] != column[before]
    numbers = whole.numbers[order]
    if differ.any():
        at = int(np.argmax(differ))
        rows = [
            f"{row_name(int(numbers[one]), int(columns['time_ms'][one]))} of {names[origin[order[one]]]}"
            for one in (at - 1, at)
        ]
        others = f" and {int(differ.sum()) - 1:,} more moments" if differ.sum() > 1 else ""
        raise Refused(
            f"two files of {whole.source} differ in {rows[0]} and {rows[1]}{others}",
            "find out which is right and move the other file out of the folder, or name one file in --data-path",
        )
    kept = ~again
    made = {name: column[kept] for name, column in columns.items()}
    return replace(whole, **made, in_file=numbers[kept]), int(again.sum())


def _said(parts: Sequence[RawTable], names: Sequence[str], dropped: int) -> str:
    spans = [
        f"{name} ({len(part):,} rows, {utc(int(part.time_ms[0]))[:16]} to {utc(int(part.time_ms[-1]))[:16]})"
        for part, name in zip(parts, names, strict=True)
    ]
    more = len(spans) - _LISTED
    text = "; ".join(spans[:_LISTED]) + (f"; and {more:,} more" if more > 0 else "")
    once = f"; {dropped:,} rows that two of them share are counted once" if dropped else ""
    return f"joined from {len(parts):,} files: {text}{once}"


def _notes(parts: Sequence[RawTable], names: Sequence[str]) -> list[str]:
    """List notes on all files once, and notes on some files with the names of these files."""
    by_note: dict[str, list[str]] = {}
    for part, name in zip(parts, names, strict=True):
        for note in part.notes:
            by_note.setdefault(note, []).append(name)
    return [
        note
        if len(of) == len(parts)
        else f"{', '.join(of[:3])}{f' and {len(of) - 3} more' if len(of) > 3 else ''}: {note}"
        for note, of in by_note.items()
    ]
