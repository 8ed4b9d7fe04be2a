"""ccxt's side of `scripts/fetch-data`: a program for the environment that holds ccxt. It imports nothing of ours.

Each input line is a question, as one JSON object, and gets one line back: an answer, or an `error` that says whether
to ask again. The first question also names the exchange. The program ends when its input ends.
"""

import difflib
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ccxt

Answer = dict[str, Any]

AGAIN, SLOWER, FINAL = "again", "slower", "final"
NUMBERS = 6  # numbers in a candle: time, open, high, low, close, volume
TIMEOUT_MS = 30_000
END_MS = 253_402_300_800_000  # the end of the year 9999: a later number is no moment in milliseconds
LONGEST_REASON = 300


def main() -> None:
    """Answer until standard input ends."""
    first = json.loads(sys.stdin.readline())
    exchange: Any = None
    try:
        exchange = opened(first["exchange"], first["options"])
        say(said(exchange, partial(answer, exchange, first)))
    except LookupError as unknown:
        say({"error": FINAL, "reason": str(unknown.args[0]), "way_out": str(unknown.args[1])})
        return
    for line in sys.stdin:
        say(said(exchange, partial(answer, exchange, json.loads(line))))


def opened(name: str, options: Mapping[str, Any]) -> Any:
    """Return the exchange. `options` are ccxt's own; dictionaries in them add to ccxt's defaults.

    Raises:
        LookupError: ccxt does not know the exchange.
    """
    if name not in ccxt.exchanges:
        near = difflib.get_close_matches(name.lower(), ccxt.exchanges, 5, 0.5) or ["binance", "kraken", "okx"]
        raise LookupError(f"ccxt knows no exchange {name!r}", f"--exchange {near[0]}; near it: {', '.join(near)}")
    plain = {"timeout": TIMEOUT_MS, "requests_trust_env": True, "enableLastJsonResponse": True}
    return getattr(ccxt, name)({**plain, **options})


def introduction(exchange: Any, asked: Mapping[str, Any]) -> Answer:
    """Return the name of the exchange, and the market that each typed symbol means."""
    known = exchange.timeframes or {}
    lacking = [one for one in asked["timeframes"] if one not in known]
    if not exchange.has.get("fetchOHLCV") or lacking:
        reason = f"{exchange.id} gives no {', '.join(lacking)} bars; it gives {', '.join(known) or 'none'}"
        return {"error": FINAL, "reason": reason, "way_out": "take another --exchange"}
    exchange.load_markets()
    markets = {}
    for wish in asked["symbols"]:
        found = market_of(exchange, wish, asked["quote"])
        if found is None:
            near = ", ".join(alike(exchange, wish)) or "nothing like it"
            reason = f"{exchange.id} trades no {wish!r}"
            return {"error": FINAL, "reason": reason, "way_out": f"it trades {near}; --symbols BASE/QUOTE says which"}
        markets[wish] = {"symbol": found["symbol"], "spot": bool(found["spot"])}
    return {"markets": markets, "version": ccxt.__version__, "exchange": exchange.id}


def market_of(exchange: Any, wish: str, quote: str) -> Any:
    """Return the market for `SOL/USDT`, `SOL` with the quote currency, or the exchange's `SOLUSDT`; None if absent."""
    upper = wish.upper()
    for name in (wish, upper, f"{upper}/{quote.upper()}"):
        if name in exchange.markets:
            return exchange.markets[name]
    named = exchange.markets_by_id.get(upper) or []
    return next(iter(sorted(named, key=lambda market: not market["spot"])), None)


def alike(exchange: Any, wish: str) -> list[str]:
    """Return up to five markets that may have been meant."""
    base = wish.upper().partition("/")[0]
    same = sorted(name for name in exchange.markets if name.startswith(f"{base}/"))
    return (same or difflib.get_close_matches(f"{base}/USDT", exchange.markets, 5, 0.5))[:5]


def answer(exchange: Any, asked: Mapping[str, Any]) -> Answer:
    """Answer a question: `markets` (what each symbol means), `now` (the exchange's clock) or `page` (candles)."""
    if asked["what"] == "markets":
        return introduction(exchange, asked)
    if asked["what"] == "now":
        has_clock = exchange.has.get("fetchTime")
        return {"now_ms": int(exchange.fetch_time() if has_clock else exchange.milliseconds())}
    rows = exchange.fetch_ohlcv(asked["symbol"], asked["timeframe"], asked["since"], asked["limit"])
    # From a response that was cut off ccxt makes an empty list, as if there were no candles.
    step_ms = 1000 * exchange.parse_timeframe(asked["timeframe"])
    if exchange.last_json_response is None or not all(is_candle(row, step_ms) for row in rows):
        return {"error": AGAIN, "reason": f"{exchange.id} answered with something that is no list of candles"}
    return {"rows": [row[:NUMBERS] for row in rows]}


def is_candle(row: Any, step_ms: int) -> bool:
    """Whether a row is six finite numbers, the first a moment at which a candle of this length begins."""
    if not isinstance(row, list) or len(row) < NUMBERS:
        return False
    is_number = all(isinstance(number, int | float) and math.isfinite(number) for number in row[:NUMBERS])
    return is_number and 0 <= row[0] < END_MS and row[0] % step_ms == 0


def said(exchange: Any, deed: Callable[[], Answer]) -> Answer:
    """Return what `deed` answers, or what went wrong and whether asking again may help."""
    try:
        return deed()
    except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
        headers = exchange.last_response_headers or {}
        return {"error": SLOWER, "reason": words(error), "retry_after": headers.get("Retry-After")}
    except ccxt.OperationFailed as error:  # the network, and exchanges in trouble
        return {"error": AGAIN, "reason": words(error)}
    except ccxt.BaseError as error:
        return {"error": FINAL, "reason": words(error), "way_out": ""}
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:  # ccxt on a body that was cut off
        return {"error": AGAIN, "reason": f"{exchange.id} sent something unreadable ({words(error)})"}


def words(error: Exception) -> str:
    """Return an error and its cause on one line."""
    cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON] + cause


def say(answer: Answer) -> None:
    """Print one line; end the program when nobody reads it."""
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(0)  # an ordinary exit would try to write the line once more, and complain
