"""An exchange on loopback that speaks Binance's protocol for candles, with its faults on demand."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

T0 = 1_704_067_200_000  # 2024-01-01 00:00 UTC
STEPS = {"5m": 300_000, "1m": 60_000}

Fault = Callable[["Handler"], bool]  # whether the request is answered by it


@dataclass
class Binance:
    """`bars`: (market, interval) → rows (time in ms, open, high, low, close, volume), as text, oldest first. The last
    candle of each is still under way when `now_ms` lies in it. `faults` are used up, one a request for candles;
    `early_faults` one a request for the markets."""

    now_ms: int
    bars: dict[tuple[str, str], list[list[Any]]] = field(default_factory=dict)
    page: int = 1_000
    faults: deque[Fault] = field(default_factory=deque)
    early_faults: deque[Fault] = field(default_factory=deque)
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def add(self, market: str, interval: str, count: int, start_ms: int = T0, seed: int = 1) -> None:
        """A walk in cents from `start_ms` on."""
        random = np.random.default_rng(seed)
        cents = 10_000 + np.cumsum(random.integers(-3, 4, count + 1))
        rows = []
        for at in range(count):
            o, c = int(cents[at]), int(cents[at + 1])
            prices = (o, max(o, c) + 1, min(o, c) - 1, c)
            stamp = start_ms + at * STEPS[interval]
            rows.append([stamp, *(f"{price / 100:.2f}000000" for price in prices), f"{10 + at % 7}.50000000"])
        self.bars[market, interval] = rows

    def options(self) -> dict[str, Any]:
        """What `--ccxt` takes to come here."""
        paths = {"public": "/api/v3", "private": "/api/v3", "fapiPublic": "/fapi/v1", "dapiPublic": "/dapi/v1"}
        urls = {name: f"http://127.0.0.1:{self.port}{path}" for name, path in paths.items()}
        return {"urls": {"api": urls}, "rateLimit": 0}

    def klines(self, market: str, interval: str, since_ms: int, limit: int) -> list[list[Any]]:
        """Return candles like Binance: the first that open at `since_ms` or later, including the unfinished one."""
        rows = [row for row in self.bars[market, interval] if row[0] >= since_ms and row[0] <= self.now_ms]
        step = STEPS[interval]
        return [[*row, row[0] + step - 1, "0", 1, "0", "0", "0"] for row in rows[: min(limit, self.page)]]


class Handler(BaseHTTPRequestHandler):
    exchange: Binance

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        kind = address.path.rpartition("/")[2]
        if kind == "time":
            return self.say({"serverTime": self.exchange.now_ms})
        if kind == "exchangeInfo":
            if self.exchange.early_faults and self.exchange.early_faults.popleft()(self):
                return None
            return self.say({"symbols": list(markets(self.exchange, address.path))})
        assert kind == "klines", self.path
        self.exchange.asked.append(query)
        if self.exchange.faults and self.exchange.faults.popleft()(self):
            return None
        since, limit = int(query["startTime"]), int(query["limit"])
        return self.say(self.exchange.klines(query["symbol"], query["interval"], since, limit))

    def say(self, value: Any, status: int = 200, **headers: str) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


def too_many(seconds: int) -> Fault:
    def fault(handler: Handler) -> bool:
        handler.say({"code": -1003, "msg": "Too many requests"}, 429, Retry_After=str(seconds))
        return True

    return fault


def dropped(handler: Handler) -> bool:
    """Half a body, and the connection is gone."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'[[1704067200000,"100.00000000","1')
    handler.close_connection = True
    return True


def cut_off(handler: Handler) -> bool:
    """The same from a server that does not say how long its body is: it looks whole."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b'[[1704067200000,"100.00000000","1')
    handler.close_connection = True
    return True


def empty(handler: Handler) -> bool:
    handler.say([])
    return True


def stamped(stamp: int) -> Fault:
    """A page whose second candle begins at another moment than it does."""

    def fault(handler: Handler) -> bool:
        query = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        rows = handler.exchange.klines(query["symbol"], query["interval"], int(query["startTime"]), int(query["limit"]))
        handler.say([rows[0], [stamp, *rows[1][1:]], *rows[2:]])
        return True

    return fault


def in_trouble(handler: Handler) -> bool:
    handler.say({"code": -1001, "msg": "Internal error"}, 503)
    return True


def fine(_: Handler) -> bool:
    return False


def held_until(let_go: threading.Event, reached: threading.Event) -> Fault:
    """Says that it was asked, and answers nothing before it is let go."""

    def fault(handler: Handler) -> bool:
        reached.set()
        let_go.wait(60)
        return False

    return fault


def markets(exchange: Binance, path: str) -> Iterator[dict[str, Any]]:
    for market in sorted({market for market, _ in exchange.bars}):
        is_contract = market.endswith("_PERP")
        if path.startswith("/dapi") or is_contract != path.startswith("/fapi"):
            continue
        base, quote = market.removesuffix("_PERP")[:-4], market.removesuffix("_PERP")[-4:]
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "100000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "100000", "stepSize": "0.001"},
        ]
        common = {"symbol": market, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "filters": filters}
        contract = {"contractType": "PERPETUAL", "marginAsset": quote, "pair": base + quote}
        yield common | (contract if is_contract else {"isSpotTradingAllowed": True, "permissions": ["SPOT"]})


@contextmanager
def serving(exchange: Binance) -> Iterator[Binance]:
    handler = type("OnlyHere", (Handler,), {"exchange": exchange})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        exchange.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield exchange
        finally:
            server.shutdown()
            thread.join()
