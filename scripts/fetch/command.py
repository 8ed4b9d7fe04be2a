"""`scripts/fetch-data`: the flags, what is shown, and what is said when something is in the way."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import Refused
from scripts.infra import environment
from state.host import command, ending

if TYPE_CHECKING:  # numpy and pyarrow: --help answers before any of them is loaded
    from scripts.fetch.exchange import Exchange, ExchangeMarket
    from scripts.fetch.store import CandleSpan, HeldCandles, Store
    from WORKFLOW.report.console import Screen

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DEFAULT_DAYS = 730
TIMEFRAMES = ("5m", "1m")
_DAY_MS = 86_400_000

EPILOG = """\
examples:
  scripts/fetch-data --symbols SOL,BTC --data-path ~/data
  scripts/fetch-data --symbols SOL/USDC --exchange kraken --since 2023-01-01 --data-path ~/data
  scripts/fetch-data --symbols SOL/USDT:USDT --timeframes 5m,1m --data-path ~/data   (a perpetual contract)
  scripts/fetch-data --symbols SOL --ccxt '{"hostname": "binance.us"}' --data-path ~/data

The same command again fetches only what is new, continues where it was stopped, and never stores a bar twice. 1-minute
bars beside the 5-minute ones tell which exit came first. Files are freqtrade's: SOL_USDT-5m.feather.

Its first use makes an environment of its own for ccxt (state/.venv-fetch), which takes a network.

exit codes: 0 done, 1 refused or failed with a reason (what came before it is on file), 2 usage, 130 stopped by Ctrl-C
"""


@dataclass(frozen=True)
class FetchedFile:
    """One file as it is now."""

    wish: str
    market: ExchangeMarket
    store: Store
    held: HeldCandles
    new: int

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        from WORKFLOW.data.raw import utc

        candles = self.held.candles
        holes, lacking = self.held.holes(self.store.step_ms)
        return {
            "symbol": self.wish,
            "market": self.market.symbol,
            "exchange": self.store.exchange,
            "timeframe": self.store.timeframe,
            "file": str(self.store.path),
            "bars": len(candles),
            "new_bars": self.new,
            "first_open": utc(int(candles["time_ms"][0])) if len(candles) else None,
            "last_open": utc(int(candles["time_ms"][-1])) if len(candles) else None,
            "days": round(len(candles) * self.store.step_ms / _DAY_MS, 3),
            "holes": holes,
            "missing_bars": lacking,
        }


def main(arguments: Sequence[str]) -> int:
    """The command."""
    stopped = ("stopped; what was fetched is on file, and the same command goes on from there", "")
    return command.run(_parser, _run, arguments, stopped, _mishap)


def _mishap(error: OSError) -> Refused:
    way_out = "free some space or mend its permissions, then type the command again: it goes on from there"
    return Refused(ending.mishap(error).reason, way_out)


def _parser() -> command.Parser:
    p = command.Parser(
        prog="scripts/fetch-data",
        description="Download bars from an exchange into files that the product reads as they are.",
        epilog=EPILOG,
    )
    names = ("--symbols", "--symbol")
    p.add_argument(*names, required=True, type=_names, metavar="A,B", help="SOL, SOL/USDC, or the exchange's SOLUSDT")
    p.add_argument("--data-path", required=True, type=Path, metavar="D", help="folder for the files; made when missing")
    p.add_argument("--exchange", default="binance", metavar="E", help="as ccxt calls it (default: binance)")
    p.add_argument("--quote", default="USDT", metavar="Q", help="what a symbol without / is traded against (USDT)")
    p.add_argument("--timeframes", type=_timeframes, default=("5m",), metavar="T", help="5m or 5m,1m (default: 5m)")
    p.add_argument("--since", type=_moment, metavar="DATE", help="first bar, UTC (default: two years ago)")
    p.add_argument("--until", type=_moment, metavar="DATE", help="end, UTC, itself left out (default: the last bar)")
    p.add_argument("--refill", action="store_true", help="also ask again for bars that the exchange did not have")
    p.add_argument("--ccxt", type=_options, default={}, metavar="JSON", help="options of ccxt's: hostname, proxies, …")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def _run(asked: argparse.Namespace) -> int:
    python = _python()
    from scripts.fetch.exchange import Exchange
    from WORKFLOW.report.console import Screen

    done: list[FetchedFile] = []
    with Screen() as screen:

        def on_wait(why: str) -> None:
            screen.say(f"  {why}", "yellow")

        with Exchange(python, asked.exchange, asked.ccxt, on_wait) as exchange:
            markets = exchange.markets(asked.symbols, asked.quote, asked.timeframes)
            for wish, market in markets.items():
                done += [_one(asked, exchange, screen, wish, market, one) for one in asked.timeframes]
    following = _next(asked.data_path, done)
    if asked.json:
        print(json.dumps({"files": [one.as_json() for one in done], "next": following}, indent=2))
    else:
        for one in done:
            _show(one)
        print(f"\nnext     {following}")
    return 0 if all(len(one.held.candles) for one in done) else 1


def _python() -> Path:
    try:
        return environment.beside(CHECKOUT, "fetch")
    except Refused as refused:
        raise Refused(
            f"ccxt needs an environment of its own, which cannot be made: {refused.reason}",
            f"{refused.way_out}; or bring bars of your own as CSV, Parquet or Feather",
        ) from refused


def _one(
    asked: argparse.Namespace, exchange: Exchange, screen: Screen, wish: str, market: ExchangeMarket, timeframe: str
) -> FetchedFile:
    from scripts.fetch.download import fetch, finished, wanted
    from scripts.fetch.store import Store

    store = Store.of(asked.data_path.expanduser().absolute(), asked.exchange, market.symbol, timeframe)
    with _alone(store):
        span = wanted(exchange, store.step_ms, _since_ms(asked), asked.until)
        held = store.held().as_of(finished(exchange, store.step_ms))
        before = len(held.candles)
        if asked.refill:
            held = held.forgetting_holes(store.step_ms)
        missing = held.missing(span)
        with screen.phase(f"{market.symbol} {timeframe}", _count(missing, store)) as phase:
            held = fetch(exchange, market, store, held, span, phase.at)
    return FetchedFile(wish, market, store, held, len(held.candles) - before)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Two downloads into one file would each write what it knows of it."""
    from state.files import flock, private

    path = store.path.with_name(f".{store.path.name}.lock")
    with ExitStack() as stack:
        try:
            with private.shared():
                private.folder(path.parent)
            stack.enter_context(flock.held(path, wait=False))
        except (FileExistsError, NotADirectoryError) as error:
            raise Refused(f"{error.filename} is no folder", "name a folder in --data-path") from error
        except flock.Taken as taken:
            raise Refused(f"another fetch-data writes {store.path}", "wait for it, or end it with Ctrl-C") from taken
        yield


def _count(spans: Sequence[CandleSpan], store: Store) -> int:
    return sum((span.end_ms - span.first_ms) // store.step_ms for span in spans)


# what was typed -------------------------------------------------------------------------------------------------------


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise argparse.ArgumentTypeError("names no symbol; SOL,BTC/USDC names two")
    return names


def _timeframes(text: str) -> tuple[str, ...]:
    names = _names(text)
    for name in names:
        if name not in TIMEFRAMES:
            raise argparse.ArgumentTypeError(
                f"{name!r} is of no use: all timeframes are made from 5m bars, and 1m bars tell what came first in them"
            )
    return names


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2023-01-01 or 2023-01-01T12:00") from None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def _since_ms(asked: argparse.Namespace) -> int:
    if asked.since is None:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return int((midnight - timedelta(days=DEFAULT_DAYS)).timestamp() * 1000)
    return int(asked.since)


def _options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from None
    if not isinstance(options, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object such as {{}}")
    return options


# what came of it ------------------------------------------------------------------------------------------------------


def _show(done: FetchedFile) -> None:
    from scripts.fetch.store import between

    name, held = f"{done.market.symbol} {done.store.timeframe}", done.held
    if not len(held.candles):
        print(f"{name}: {done.store.exchange} has no bars in that time; see --since and --until")
        return
    print(f"{name}: {len(held.candles):,} bars, {done.new:,} of them new, {between(held.candles)}")
    holes, lacking = held.holes(done.store.step_ms)
    if holes:
        print(f"  {done.store.exchange} lacks {lacking:,} bars in {holes:,} places; --refill asks for them again")
    print(f"  {done.store.path}")


def _next(folder: Path, done: Sequence[FetchedFile]) -> str:
    """What to type now: the check of the first market's bars."""
    from WORKFLOW.data.find import find

    one = done[0]
    base = one.market.symbol.partition("/")[0]
    where = one.store.path.parent if not one.market.is_spot else folder
    try:
        find(where, base)
    except Refused:  # another market's name begins the same
        base = one.store.path.name.partition("-")[0]
    return shlex.join(["python", "WORKFLOW/validation.py", "--check-all", "--data-path", str(where), "--symbol", base])
