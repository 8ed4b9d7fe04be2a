"""Ask an exchange for what is missing, page by page; what has come is never lost and never comes twice."""

import time
from collections.abc import Callable
from typing import Protocol

from scripts.fetch.exchange import ExchangeMarket, Row
from scripts.fetch.store import Candles, CandleSpan, HeldCandles, Store, candles_of

PAGE = 1_000  # candles to ask for at a time; an exchange that gives fewer is asked more often
SAVE_EVERY_S = 10.0  # what a machine that goes down loses at most; a save of two years takes 0.1 s, of minutes 0.4

OnPage = Callable[[int], None]  # hears how many candles' time has been asked about


class Source(Protocol):
    """Where candles come from."""

    def now_ms(self) -> int:
        """Its own clock."""

    def page(self, market: ExchangeMarket, timeframe: str, since_ms: int, limit: int) -> list[Row]:
        """Candles from a moment on."""


def finished(source: Source, step_ms: int) -> int:
    """When the newest candle that is finished ended."""
    return source.now_ms() // step_ms * step_ms


def wanted(source: Source, step_ms: int, since_ms: int, until_ms: int | None) -> CandleSpan:
    """From `since_ms` to the last candle that is finished: the one under way would be stored with a wrong close."""
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
    """Everything of `span` that `held` lacks, on file when this returns, and also when it does not.

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
    if len(held.candles):  # a file without a bar would help nobody
        store.write(held)
    return held


def _page(source: Source, market: ExchangeMarket, store: Store, asked: CandleSpan) -> tuple[Candles, int]:
    """Candles of `asked` from its beginning on, and up to which moment the exchange has answered."""
    limit = min(PAGE, (asked.end_ms - asked.first_ms) // store.step_ms)
    # Nothing at all is asked for twice: an exchange in trouble says it, and it would be a hole for ever.
    for _ in range(2):
        candles = candles_of(source.page(market, store.timeframe, asked.first_ms, limit))
        candles = candles[candles["time_ms"] >= asked.first_ms]
        if len(candles):
            end_ms = min(asked.end_ms, int(candles["time_ms"][-1]) + store.step_ms)
            return candles[candles["time_ms"] < asked.end_ms], end_ms
    return candles, min(asked.end_ms, asked.first_ms + limit * store.step_ms)
