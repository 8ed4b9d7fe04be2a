"""The report of pre-flight, for people and for programs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.errors import Refused
from WORKFLOW.data.forms.shown import shown
from WORKFLOW.data.raw import utc

if TYPE_CHECKING:  # `wicks` imports this module
    from WORKFLOW.data.wicks import Wick

LISTED = 10


@dataclass(frozen=True)
class BarSpan:
    """Consecutive bars: the opens of the first and the last bar, and the number of bars."""

    first_ms: int
    last_ms: int
    bars: int

    def __str__(self) -> str:
        last = f" to {utc(self.last_ms)}" if self.bars > 1 else ""
        return f"{utc(self.first_ms)}{last}, {count(self.bars, 'bar')}"

    def as_json(self) -> dict[str, Any]:
        """Return the record for programs."""
        return {"from": utc(self.first_ms), "to": utc(self.last_ms), "bars": self.bars}


@dataclass(frozen=True)
class Reason:
    """A reason why the bars cannot be used, and what would help. `passes`: the obstacle may pass by itself."""

    text: str
    way_out: str
    passes: bool = False


@dataclass(frozen=True)
class Report:
    """What stood in the file and what was done to it; `reasons` is empty if the bars may be used.

    `rows` counts the rows of the file, and `bars` the bars on the grid after holes were filled and copies dropped.
    `tick` is in quote currency. `halts` are runs of bars without volume and movement; they are real, but nobody could
    have traded there. `wicks` are prices that no neighbouring bar reaches, confirmed or not. `wicks_allowed` says
    whether only the operator accepts some of them. `extreme_wicks` counts bars with a high or low that is merely rare.
    """

    symbol: str
    source: str
    synthetic: bool
    rows: int
    bars: int
    days: float
    first_ms: int
    last_ms: int
    tick: float | None
    copies_dropped: int
    filled: tuple[BarSpan, ...]
    halts: tuple[BarSpan, ...]
    notes: tuple[str, ...]
    wicks: "tuple[Wick, ...]" = ()
    wicks_allowed: bool = False
    extreme_wicks: int = 0
    reasons: tuple[Reason, ...] = ()

    @property
    def filled_bars(self) -> int:
        """The number of bars that pre-flight made to close holes."""
        return sum(span.bars for span in self.filled)

    def lines(self) -> list[str]:
        """Return the report for people: one fact per line, with long lists cut after ten."""
        tick = "" if self.reasons else ", no common tick" if self.tick is None else f", tick {self.tick:g}"
        lines = [
            f"{self.symbol}: {count(self.bars, 'bar')} of 5 minutes, {self.days:,.1f} days, "
            f"{utc(self.first_ms)} to {utc(self.last_ms)} (bar opens){tick}",
            f"source: {shown(self.source)}, {count(self.rows, 'row')}",
        ]
        if self.synthetic:
            lines.append("SYNTHETIC: generated bars, nothing found on them can be promoted")
        if self.copies_dropped:
            lines.append(f"repaired: {self.copies_dropped:,} rows dropped that repeat an earlier row in every value")
        if self.filled:
            holes = f"{count(len(self.filled), 'hole')}, {count(self.filled_bars, 'bar')}"
            lines.append(f"filled: {holes}, flat at the previous close:")
            lines += _indented(map(str, self.filled))
        if self.halts:
            lines.append(f"exchange halts: {count(len(self.halts), 'run')} of flat bars without volume:")
            lines += _indented(map(str, self.halts))
        lines += self._wick_lines()
        lines += [f"note: {note}" for note in self.notes]
        for reason in self.reasons:
            lines += [f"refused: {reason.text}", f"  → {reason.way_out}"]
        return lines

    def _wick_lines(self) -> list[str]:
        lines = []
        if self.extreme_wicks:
            far = f"{count(self.extreme_wicks, 'bar')} with a high or low far from their neighbours"
            lines.append(f"extreme wicks: {far}; the results say how much depends on them")
        confirmed = [str(wick) for wick in self.wicks if wick.minutes == "confirm"]
        if confirmed:
            lines.append(
                f"confirmed by their 1-minute bars: {count(len(confirmed), 'price')} that no neighbouring bar reaches:"
            )
            lines += _indented(confirmed)
        if self.wicks_allowed:
            allowed = [str(wick) for wick in self.wicks if wick.minutes != "confirm"]
            lines.append(f"ALLOWED by --allow-wicks: {count(len(allowed), 'price')} that no neighbouring bar reaches:")
            lines += _indented(allowed)
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs, with every hole and every halt."""
        return {
            "symbol": self.symbol,
            "source": self.source,
            "synthetic": self.synthetic,
            "rows": self.rows,
            "bars": self.bars,
            "days": self.days,
            "first_open": utc(self.first_ms),
            "last_open": utc(self.last_ms),
            "tick": self.tick,
            "copies_dropped": self.copies_dropped,
            "filled_bars": self.filled_bars,
            "filled": [span.as_json() for span in self.filled],
            "halts": [span.as_json() for span in self.halts],
            "extreme_wicks": self.extreme_wicks,
            "wicks": [wick.as_json() for wick in self.wicks],
            "wicks_allowed": self.wicks_allowed,
            "notes": list(self.notes),
            "reasons": [{"reason": reason.text, "way_out": reason.way_out} for reason in self.reasons],
        }


class UnfitBars(Refused):
    """The refusal of pre-flight, with all reasons at once, and the report that holds them."""

    def __init__(self, report: Report) -> None:
        texts = [reason.text for reason in report.reasons]
        said = texts[0] if len(texts) == 1 else f"{len(texts)} reasons" + "".join(f"\n  - {text}" for text in texts)
        ways = dict.fromkeys(reason.way_out for reason in report.reasons)
        super().__init__(f"{report.symbol} ({shown(report.source)}) cannot be used: {said}", "; ".join(ways))
        self.report = report


def first_few(items: Iterable[str], total: int | None = None) -> str:
    """Join the first ten of `items`: `a; b; c and 7 more`."""
    listed = list(items)
    more = (len(listed) if total is None else total) - LISTED
    return "; ".join(listed[:LISTED]) + (f" and {more:,} more" if more > 0 else "")


def count(number: int, thing: str, things: str | None = None) -> str:
    """Write a count: `1 row`, `12 rows`; `things` is the plural if it needs more than an s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def _indented(items: Iterable[str]) -> list[str]:
    listed = [f"  {item}" for item in items]
    more = len(listed) - LISTED
    return listed[:LISTED] + ([f"  and {more:,} more"] if more > 0 else [])
