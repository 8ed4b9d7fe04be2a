"""Ask an exchange for missing candles, page by page. Candles that have arrived are never lost or stored twice."""

import time
from collections.abc import Callable
from typing import Protocol

from scripts.fetch.exchange import ExchangeMarket, Row
from scripts.fetch.store import Candles, CandleSpan, HeldCandles, Store, candles_of

PAGE = 1_000  # candles to ask for in one request; an exchange that gives fewer is asked more often
# Seconds of download that a crash loses at most; saving two years takes 0.1 s, of 1-minute bars 0.4 s.
SAVE_EVERY_S = 10.0

OnPage = Callable[[int], None]  # called with the number of candles that have been asked for


class Source(Protocol):
    """A source of candles: an exchange, or a stand-in."""

    def now_ms(self) -> int:
        """Return the source's own clock, in epoch milliseconds."""

    def page(self, market: ExchangeMarket, timeframe: str, since_ms: int, limit: int) -> list[Row]:
        """Return candles from a moment on."""


def finished(source: Source, step_ms: int) -> int:
    """Return the moment at which the newest finished candle ended."""
    return source.now_ms() // step_ms * step_ms


def wanted(source: Source, step_ms: int, since_ms: int, until_ms: int | None) -> CandleSpan:
    """Return the span from `since_ms` to the last finished candle: an unfinished one would have a wrong close."""
    newest = finished(source, step_ms)
    end = newest if until_ms is None else min(until_ms, newest)
    return CandleSpan(-(-since_ms // step_ms) * step_ms, end // step_ms * step_ms)


def fetch(
    source: Source,
    market: ExchangeMarket,
    store: Store,
    held: HeldCandles,
    span: CandleSpan,
    on_page: OnPage,
    clock: Callable[[], float] = time.monotonic,
) -> HeldCandles:
    """Fetch everything in `span` that `held` lacks, and save what has arrived, also when this raises.

    Raises:
        Refused: the exchange refuses or does not answer. OSError: the file cannot be written.
    """
    done = 0
    for gap in held.missing(span):
        fresh: list[Candles] = []
        at, saved_at = gap.first_ms, clock()
        try:
            while at < gap.end_ms:
                candles, end_ms = _page(source, market, store, CandleSpan(at, gap.end_ms))
                fresh.append(candles)
                done += (end_ms - at) // store.step_ms
                at = end_ms
                on_page(done)
                if clock() - saved_at >= SAVE_EVERY_S:
                    held, fresh = _saved(store, held.adding(fresh, CandleSpan(gap.first_ms, at))), []
                    saved_at = clock()
        finally:
            if fresh:
                held = _saved(store, held.adding(fresh, CandleSpan(gap.first_ms, at)))
    return held


def _saved(store: Store, held: HeldCandles) -> HeldCandles:
    if len(held.candles):  # a file without any bar is of no use
        store.write(held)
    return held


def _page(source: Source, market: ExchangeMarket, store: Store, asked: CandleSpan) -> tuple[Candles, int]:
    """Return candles from the beginning of `asked` on, and the moment up to which the exchange has answered."""
    limit = min(PAGE, (asked.end_ms - asked.first_ms) // store.step_ms)
    # An empty answer is asked for once more: an exchange in trouble gives one, and the hole would stay for ever.
    for _ in range(2):
        candles = candles_of(source.page(market, store.timeframe, asked.first_ms, limit))
        candles = candles[candles["time_ms"] >= asked.first_ms]
        if len(candles):
            end_ms = min(asked.end_ms, int(candles["time_ms"][-1]) + store.step_ms)
            return candles[candles["time_ms"] < asked.end_ms], end_ms
    return candles, min(asked.end_ms, asked.first_ms + limit * store.step_ms)
