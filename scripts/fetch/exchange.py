"""An exchange for the rest of `scripts/fetch-data`: ccxt in a process of its own, asked until it answers."""

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
TRIES = 6  # requests in a row without an answer: about half a minute with the pauses between them
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
LONGEST_WISH_S = 600.0  # seconds: an exchange that asks for a longer pause has banned this address for a while

Row = Sequence[float]


@dataclass(frozen=True)
class ExchangeMarket:
    """The market that a typed symbol means at the exchange: `SOL/USDT`, or `SOL/USDT:USDT` for a contract."""

    symbol: str
    is_spot: bool


class Exchange:
    """Ask ccxt one question after the other; ccxt itself keeps the exchange's rate limit."""

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
        # In a process group of its own, so that Ctrl-C reaches only us, and we save what has arrived. The child ends
        # when its input closes.
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", errors="replace", process_group=0
        )

    def __enter__(self) -> Self:
        """Return the exchange; the child runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child."""
        self._child.kill()
        self._child.communicate()

    def markets(self, symbols: Sequence[str], quote: str, timeframes: Sequence[str]) -> dict[str, ExchangeMarket]:
        """Return the market that each of `symbols` means.

        Raises:
            Refused: the exchange is unknown, lacks the symbol or the interval, or does not answer.
        """
        asked = {"symbols": list(symbols), "quote": quote, "timeframes": list(timeframes)}
        introduced = {"what": "markets", "exchange": self._name, "options": dict(self._options), **asked}
        answer = self._answer(introduced)
        return {wish: ExchangeMarket(one["symbol"], one["spot"]) for wish, one in answer["markets"].items()}

    def now_ms(self) -> int:
        """Return the exchange's clock in epoch milliseconds UTC, which decides whether a candle is finished."""
        return int(self._answer({"what": "now"})["now_ms"])

    def page(self, market: ExchangeMarket, timeframe: str, since_ms: int, limit: int) -> list[Row]:
        """Return candles (time in ms, open, high, low, close, volume) from `since_ms` on, as many as it gives."""
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
    """Return the pause that the exchange asks for in Retry-After, else one that doubles each time."""
    wish = str(answer.get("retry_after") or "")
    return float(wish) if wish.isdecimal() else min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
