"""Record what a run tried and looked at, before anything is selected from it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from config.modes import Mode
from config.settings import Settings
from state.host.clock import Clock, stamp
from state.records.tries import (
    Entry,
    Kind,
    Span,
    TriesCount,
    TriesLedger,
    identity_of,
)
from WORKFLOW.engines.market import Market, Window


@dataclass(frozen=True)
class History:
    """The ledger of tries of a symbol, and the days of one run: those it selects on, and those of its holdout."""

    ledger: TriesLedger
    in_sample: Span
    holdout: Span | None
    run_id: str
    clock: Clock

    @classmethod
    def of(
        cls, ledger: TriesLedger, market: Market, windows: Mapping[str, Window], run_id: str, clock: Clock
    ) -> "History":
        """Return the history of a run over `market`; `windows` holds in_sample and, if looked at, out_of_sample."""
        inside = span_of(market, windows["in_sample"])
        outside = span_of(market, windows["out_of_sample"]) if "out_of_sample" in windows else None
        return cls(ledger, inside, outside, run_id, clock)

    def tried(self, tries: int, what: str, **identity: Any) -> None:
        """Record tries in the ledger, before anything is selected from them."""
        self._add("combos", tries, self.in_sample, what, identity)

    def prescreened(self, combos: int, settings: Settings, mode: Mode, data: str) -> None:
        """Record a prescreen in the ledger, before anybody sees its best combos."""
        self.tried(combos, "prescreen", **made_of(combos, settings, mode, data))

    def looked(self, what: str, **identity: Any) -> None:
        """Record a look at the holdout in the ledger, before it is taken."""
        assert self.holdout is not None
        days = {"first_ms": self.holdout.first_ms, "last_ms": self.holdout.last_ms}
        self._add("look", 1, self.holdout, what, {**identity, **days})

    def _add(self, kind: Kind, tries: int, span: Span, what: str, identity: Mapping[str, Any]) -> None:
        if tries:
            key = identity_of(kind=kind, what=what, **identity)
            self.ledger.add(Entry(kind, key, tries, span, what, self.run_id, stamp(self.clock.now())))

    def count(self) -> TriesCount:
        """Return how much all runs tried on these in-sample days, and how often they looked at this holdout."""
        assert self.holdout is not None
        return self.ledger.count(self.in_sample, self.holdout)


def made_of(combos: int, settings: Settings, mode: Mode, data: str) -> dict[str, Any]:
    """Return the identity of a prescreen: two with the same identity count once.

    `data` is the hash of in-sample bars.
    """
    return {
        "data": data,
        "mode": asdict(mode),
        "seed": settings.run.seed,
        "costs": asdict(settings.costs),
        "combos": combos,
    }


def span_of(market: Market, window: Window) -> Span:
    """Return the first and last bar of a window as a span of time."""
    return Span(int(market.time_ms[window.start]), int(market.time_ms[window.stop - 1]))
