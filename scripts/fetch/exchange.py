"""An exchange as the rest of `scripts/fetch-data` sees it: ccxt in a process of its own, asked until it answers."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from config.errors import Refused
from state.host.secrets import redacted

PROGRAM = Path(__file__).with_name("with_ccxt.py")
RUN = "import runpy, sys; runpy.run_path(sys.argv[1])['main']()"
TRIES = 6  # in a row without an answer; with the pauses between them about half a minute
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
LONGEST_WISH_S = 600.0  # an exchange that asks for a longer pause has banned this address for a while

Row = Sequence[float]


@dataclass(frozen=True)
class ExchangeMarket:
    """What one wish of the user's means at the exchange: `SOL/USDT`, or `SOL/USDT:USDT` for a contract."""

    symbol: str
    is_spot: bool


class Exchange:
    """Asks ccxt one question after the other; ccxt itself keeps the exchange's rate limit."""

    def __init__(
        self,
        python: Path,
        name: str,
        options: Mapping[str, Any],
        on_wait: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`python` has ccxt; `on_wait` hears why there is a pause."""
        self._name, self._options, self._on_wait, self._pause = name, options, on_wait, pause
        command = [str(python), "-I", "-c", RUN, str(PROGRAM)]
        # A group of its own: Ctrl-C is for us, who put on file what has come; it ends when nobody is left to ask.
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", errors="replace", process_group=0
        )

    def __enter__(self) -> Self:
        """Ready to be asked."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody asks any more."""
        self._child.kill()
        self._child.communicate()

    def markets(self, symbols: Sequence[str], quote: str, timeframes: Sequence[str]) -> dict[str, ExchangeMarket]:
        """The market that each of `symbols` means.

        Raises:
            Refused: an unknown exchange, a symbol or an interval that it does not have, nobody answers.
        """
        asked = {"symbols": list(symbols), "quote": quote, "timeframes": list(timeframes)}
        introduced = {"what": "markets", "exchange": self._name, "options": dict(self._options), **asked}
        answer = self._answer(introduced)
        return {wish: ExchangeMarket(one["symbol"], one["spot"]) for wish, one in answer["markets"].items()}

    def now_ms(self) -> int:
        """The exchange's own clock, epoch milliseconds UTC: whether a candle is finished is for it to say."""
        return int(self._answer({"what": "now"})["now_ms"])

    def page(self, market: ExchangeMarket, timeframe: str, since_ms: int, limit: int) -> list[Row]:
        """Candles (time in ms, open, high, low, close, volume) from `since_ms` on: as many as it likes to give."""
        asked = {"what": "page", "symbol": market.symbol, "timeframe": timeframe, "since": since_ms, "limit": limit}
        rows: list[Row] = self._answer(asked)["rows"]
        return rows

    def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        for attempt in range(TRIES):
            answer = self._ask(asked)
            if "error" not in answer:
                return answer
            reason = redacted(answer["reason"])
            if answer["error"] == "final":
                raise Refused(reason, answer["way_out"] or f"see what {self._name} says, or take another --exchange")
            pause_s = _pause_s(answer, attempt)
            if pause_s > LONGEST_WISH_S:
                raise Refused(f"{self._name} asks for a pause of {pause_s:,.0f} s: {reason}", _LATER)
            if attempt + 1 < TRIES:
                self._on_wait(f"{reason}; asking again in {pause_s:g} s")
                self._pause(pause_s)
        raise Refused(f"{self._name} did not answer {TRIES} times in a row: {reason}", _CONNECT)

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(asked) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Refused(f"ccxt ended with {self._child.wait()}", "its last words stand above; type the command again")
        answer: dict[str, Any] = json.loads(line)
        return answer


_LATER = "what was fetched is on file; type the command again then"
_CONNECT = (
    "connect this machine (HTTPS_PROXY names a proxy) and type the command again; "
    "what was fetched is on file, and it goes on from there"
)


def _pause_s(answer: Mapping[str, Any], attempt: int) -> float:
    """What the exchange asks for in Retry-After, else twice as long each time."""
    wish = str(answer.get("retry_after") or "")
    return float(wish) if wish.isdecimal() else min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
