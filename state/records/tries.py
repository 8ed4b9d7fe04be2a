"""The ledger of everything ever tried on a symbol and of every look at its holdout, append-only and kept with results.

The best result of luck grows with every try, in whichever run it was made, and each look at a holdout uses some of it
up. So both are counted over all runs whose days overlap. The same combos on the same bars count once, because typing a
command twice tries nothing new.
"""

from pathlib import Path
from typing import Any, Literal

from config import plain
from config.record import asdict, dataclass
from state.files import codec, digest, private
from state.files.journal import Journal

Kind = Literal["combos", "look"]
_MOST_TRIES = 10**12  # of one entry; a larger number comes from a damaged line


@dataclass(frozen=True)
class Span:
    """A range of bars: the opens of the first and the last bar, in epoch milliseconds (UTC)."""

    first_ms: int
    last_ms: int

    def overlaps(self, other: "Span") -> bool:
        """Whether both ranges have a moment in common."""
        return self.first_ms <= other.last_ms and other.first_ms <= self.last_ms


@dataclass(frozen=True)
class Entry:
    """One line: `tries` combos tried in-sample, or 1 look. Entries with the same `identity` count once."""

    kind: Kind
    identity: str
    tries: int
    span: Span
    what: str
    run_id: str
    at: str


@dataclass(frozen=True)
class TriesCount:
    """The tries and looks that count against a result on some range of bars."""

    tries: int
    looks: int


@dataclass(frozen=True)
class TriesLedger:
    """The ledger of one symbol."""

    path: Path

    def add(self, *entries: Entry) -> None:
        """Append the entries that are not there yet.

        Raises:
            OSError: the disk is full; a try that cannot be counted must not be made.
        """
        self._end_last_line()
        known = {entry.identity for entry in self.entries()}
        new = {entry.identity: entry for entry in entries if entry.identity not in known}
        if new:
            private.folder(self.path.parent)
            Journal(self.path).append(*(asdict(entry) for entry in new.values()))

    def entries(self) -> list[Entry]:
        """Return all entries, each identity once with its largest count. Damaged lines are skipped; see `bad_lines`."""
        found: dict[str, Entry] = {}
        for record in Journal(self.path).read().records:
            if (entry := _entry(record)) is not None:
                before = found.get(entry.identity)
                # Two runs that began at once may both have recorded a search. The larger count is on the safe side.
                found[entry.identity] = entry if before is None or before.tries < entry.tries else before
        return list(found.values())

    def count(self, in_sample: Span, holdout: Span) -> TriesCount:
        """Return the tries on days of `in_sample`, and the looks at days of `holdout`, over all runs.

        A search on some days also looks at them. So when an earlier run searched on days of this holdout, each of its
        tries counts as a look.
        """
        entries = self.entries()
        return TriesCount(
            tries=sum(e.tries for e in entries if e.kind == "combos" and e.span.overlaps(in_sample)),
            looks=sum(e.tries for e in entries if e.span.overlaps(holdout)),
        )

    def bad_lines(self) -> int:
        """Return the number of lines that cannot be read; while there is one, nothing can be promoted."""
        page = Journal(self.path).read()
        return len(page.bad_lines) + sum(_entry(record) is None for record in page.records)

    def _end_last_line(self) -> None:
        """Add a missing last newline if the last line is a whole entry.

        An editor may leave the newline out. Without it, the next append would cut the entry as a torn one.
        """
        if not self.path.exists():
            return
        with Journal(self.path).locked():
            data = plain.read_bytes(self.path)
            last = data.rpartition(b"\n")[2]
            if last and _entry(_decoded(last)) is not None:
                with self.path.open("ab") as file:
                    file.write(b"\n")


def identity_of(**what: Any) -> str:
    """Return a short hash of `what` (plain JSON): equal for equal values."""
    return digest.short(codec.encode_line(what))


def _decoded(line: bytes) -> Any:
    try:
        return codec.decode(line)
    except ValueError:
        return None


def _entry(record: Any) -> Entry | None:
    """Return the entry in a record; None for a wrong field, type, order of days, or number of tries."""
    try:
        entry = Entry(**{**record, "span": Span(**record["span"])})
    except (TypeError, KeyError):
        return None
    numbers = (entry.tries, entry.span.first_ms, entry.span.last_ms)
    texts = (entry.identity, entry.what, entry.run_id, entry.at)
    is_one = (
        entry.kind in ("combos", "look")
        and all(isinstance(one, str) for one in texts)
        and all(isinstance(one, int) and not isinstance(one, bool) for one in numbers)
        and 0 < entry.tries <= _MOST_TRIES
        and entry.span.first_ms <= entry.span.last_ms
    )
    return entry if is_one else None
