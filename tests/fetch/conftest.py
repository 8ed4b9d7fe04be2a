"""ccxt in its own environment, one process of it for a whole file of tests, in front of an exchange on loopback."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts.fetch.exchange import Exchange, ExchangeMarket
from tests.fetch.binance import STEPS, T0, Binance, serving


@dataclass
class Asking:
    """The exchange, ccxt that asks it, and what was waited for."""

    server: Binance
    exchange: Exchange
    markets: dict[str, ExchangeMarket]
    waits: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def reset(self, bars: int) -> None:
        """SOL/USDT with so many finished candles, and one that is under way."""
        self.server.asked.clear()
        self.server.faults.clear()
        self.waits.clear()
        self.pauses.clear()
        self.server.page = 1_000
        self.server.add("SOLUSDT", "5m", bars + 1)
        self.server.now_ms = T0 + bars * STEPS["5m"] + 120_000


@pytest.fixture(scope="module")
def one_ccxt(ccxt_python: Path) -> Iterator[Asking]:
    server = Binance(now_ms=T0)
    for market in ("SOLUSDT", "SOLVUSDT", "SOLUSDC", "BTCUSDT", "SOLUSDT_PERP"):
        server.add(market, "5m", 10)
    waits: list[str] = []
    pauses: list[float] = []
    with serving(server), pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        with Exchange(ccxt_python, "binance", server.options(), waits.append, pauses.append) as exchange:
            wishes = ["SOL", "sol/usdc", "SOLUSDT", "SOL/USDT:USDT"]
            yield Asking(server, exchange, exchange.markets(wishes, "USDT", ["5m"]), waits, pauses)


@pytest.fixture
def asking(one_ccxt: Asking) -> Asking:
    one_ccxt.reset(2_500)
    return one_ccxt
