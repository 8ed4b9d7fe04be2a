"""What was ever tried on a symbol, and every look at its holdout: append-only, for as long as the results are kept.

Luck grows with every try, whoever made it and in whichever run, and a holdout that was looked at often is no holdout
any more. So both are counted over all runs whose days overlap. The same combos on the same bars are counted once:
typing a command twice does not try anything new.
"""

from pathlib import Path
from typing import Any, Literal

from config import plain
from config.record import asdict, dataclass
from state.files import codec, digest, private
from state.files.journal import Journal

Kind = Literal["combos", "look"]
_MOST_TRIES = 10**12  # in one entry; more is a damaged line


@dataclass(frozen=True)
class Span:
    """Bars from the first's open to the last's, epoch milliseconds UTC."""

    first_ms: int
    last_ms: int

    def overlaps(self, other: "Span") -> bool:
        """Whether they have a moment in common."""
        return self.first_ms <= other.last_ms and other.first_ms <= self.last_ms


@dataclass(frozen=True)
class Entry:
    """One line. `tries`: combos tried in-sample, or 1 for a look. `identity`: what makes it the same as another."""

    kind: Kind
    identity: str
    tries: int
    span: Span
    what: str
    run_id: str
    at: str


@dataclass(frozen=True)
class TriesCount:
    """What counts against a result on some span."""

    tries: int
    looks: int


@dataclass(frozen=True)
class TriesLedger:
    """The ledger of one symbol."""

    path: Path

    def add(self, *entries: Entry) -> None:
        """Put them on file, but none that is there.

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
        """Everything on file, each identity once; lines that are none are passed over, `bad_lines` counts them."""
        found: dict[str, Entry] = {}
        for record in Journal(self.path).read().records:
            if (entry := _entry(record)) is not None:
                before = found.get(entry.identity)
                found[entry.identity] = entry if before is None or before.tries < entry.tries else before
        return list(found.values())

    def count(self, in_sample: Span, holdout: Span) -> TriesCount:
        """Tries on days of `in_sample`, and looks at days of `holdout`, over all runs.

        Who searches days looks at them: a holdout that an earlier run chose on counts each of its tries as a look.
        """
        entries = self.entries()
        return TriesCount(
            tries=sum(e.tries for e in entries if e.kind == "combos" and e.span.overlaps(in_sample)),
            looks=sum(e.tries for e in entries if e.span.overlaps(holdout)),
        )

    def bad_lines(self) -> int:
        """Lines that cannot be counted: with any of them nothing can be promoted."""
        page = Journal(self.path).read()
        return len(page.bad_lines) + sum(_entry(record) is None for record in page.records)

    def _end_last_line(self) -> None:
        """An editor may leave out the last newline: a whole entry is kept; a torn one is cut by the next append."""
        if not self.path.exists():
            return
        with Journal(self.path).locked():
            data = plain.read_bytes(self.path)
            last = data.rpartition(b"\n")[2]
            if last and _entry(_decoded(last)) is not None:
                with self.path.open("ab") as file:
                    file.write(b"\n")


def identity_of(**what: Any) -> str:
    """The same for the same values, which are plain JSON."""
    return digest.short(codec.encode_line(what))


def _decoded(line: bytes) -> Any:
    try:
        return codec.decode(line)
    except ValueError:
        return None


def _entry(record: Any) -> Entry | None:
    """None for what is no entry: a wrong name, type, order of days, or number of tries."""
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
