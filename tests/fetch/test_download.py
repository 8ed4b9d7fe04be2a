"""Downloads from an exchange that behaves like real ones: everything arrives, once, and what has come stays."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import Refused
from scripts.fetch.download import fetch, finished, wanted
from scripts.fetch.exchange import TRIES, Exchange, ExchangeMarket
from scripts.fetch.store import HeldCandles, Store
from tests.fetch.binance import STEPS, T0, cut_off, dropped, empty, fine, in_trouble, stamped, too_many
from tests.fetch.conftest import Asking
from WORKFLOW.data.load import read

STEP = STEPS["5m"]


def store_in(folder: Path) -> Store:
    return Store.of(folder, "binance", "SOL/USDT", "5m")


def download(
    asking: Asking,
    folder: Path,
    since_ms: int = T0,
    until_ms: int | None = None,
    on_page: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = lambda: 0.0,
    refill: bool = False,
) -> HeldCandles:
    store = store_in(folder)
    held = store.held()
    if refill:
        held = held.forgetting_holes(STEP)
    held = held.as_of(finished(asking.exchange, STEP))
    span = wanted(asking.exchange, STEP, since_ms, until_ms)
    return fetch(asking.exchange, asking.markets["SOL"], store, held, span, on_page, clock)


def expected(asking: Asking, bars: int) -> list[list[float]]:
    return [[float(x) for x in row] for row in asking.server.bars["SOLUSDT", "5m"][:bars]]


def on_file(folder: Path) -> list[list[float]]:
    """As the product reads it."""
    raw = read(store_in(folder).path, "SOL")
    columns = (raw.time_ms, raw.open, raw.high, raw.low, raw.close, raw.volume)
    return [list(map(float, row)) for row in zip(*columns, strict=True)]


def since_times(asking: Asking) -> list[int]:
    return [(int(one["startTime"]) - T0) // STEP for one in asking.server.asked]


def test_every_finished_candle_is_there_once_and_the_one_under_way_is_not(asking: Asking, tmp_path: Path) -> None:
    pages: list[int] = []
    held = download(asking, tmp_path, on_page=pages.append)
    assert on_file(tmp_path) == expected(asking, 2_500)
    assert len(held.candles) == 2_500
    assert (pages, asking.pauses) == ([1_000, 2_000, 2_500], [])


def test_the_next_start_asks_only_for_what_is_new(asking: Asking, tmp_path: Path) -> None:
    download(asking, tmp_path)
    asking.server.asked.clear()
    download(asking, tmp_path)
    assert asking.server.asked == []
    rows = asking.server.bars["SOLUSDT", "5m"]
    asking.server.add("SOLUSDT", "5m", 2_620)
    asking.server.bars["SOLUSDT", "5m"][:2_500] = rows[:2_500]
    asking.server.now_ms += 100 * STEP
    download(asking, tmp_path)
    assert since_times(asking) == [2_500]
    assert on_file(tmp_path) == expected(asking, 2_600)


def test_an_earlier_beginning_is_asked_for_alone(asking: Asking, tmp_path: Path) -> None:
    download(asking, tmp_path, since_ms=T0 + 2_000 * STEP)
    asking.server.asked.clear()
    download(asking, tmp_path, since_ms=T0 + 500 * STEP, until_ms=T0 + 2_300 * STEP)
    assert since_times(asking) == [500, 1_500]
    assert on_file(tmp_path) == expected(asking, 2_500)[500:]


def test_an_end_in_the_middle_is_kept(asking: Asking, tmp_path: Path) -> None:
    download(asking, tmp_path, since_ms=T0 + 7, until_ms=T0 + 100 * STEP + 7)
    assert on_file(tmp_path) == expected(asking, 100)[1:]


def test_a_market_that_was_listed_later_begins_there(asking: Asking, tmp_path: Path) -> None:
    download(asking, tmp_path, since_ms=T0 - 365 * 86_400_000)
    assert on_file(tmp_path) == expected(asking, 2_500)
    asking.server.asked.clear()
    download(asking, tmp_path, since_ms=T0 - 365 * 86_400_000)
    assert asking.server.asked == []


def test_small_pages_only_take_longer(asking: Asking, tmp_path: Path) -> None:
    asking.server.page = 300
    download(asking, tmp_path)
    assert on_file(tmp_path) == expected(asking, 2_500)


def test_the_pause_that_the_exchange_asks_for_is_made(asking: Asking, tmp_path: Path) -> None:
    asking.server.faults.extend([fine, too_many(7), too_many(3)])
    download(asking, tmp_path)
    assert asking.pauses == [7.0, 3.0]
    assert "429 Too Many Requests" in asking.waits[0]
    assert on_file(tmp_path) == expected(asking, 2_500)


def test_answers_that_break_off_and_servers_in_trouble_are_asked_again(asking: Asking, tmp_path: Path) -> None:
    asking.server.faults.extend([fine, dropped, cut_off, in_trouble, fine, cut_off])
    download(asking, tmp_path)
    assert asking.pauses == [1.0, 2.0, 4.0, 1.0]
    assert on_file(tmp_path) == expected(asking, 2_500)


@pytest.mark.parametrize("stamp", [T0 + 1_001 * STEP + 1_234, 10**30, 10**400])
def test_a_moment_at_which_no_candle_begins_is_never_stored(asking: Asking, tmp_path: Path, stamp: int) -> None:
    """The next start would refuse the file for it, and two years of download with it."""
    asking.server.faults.extend([fine, stamped(stamp)])
    download(asking, tmp_path)
    assert asking.pauses == [1.0]
    assert on_file(tmp_path) == expected(asking, 2_500)


def test_a_clock_that_was_ahead_hides_no_bars(asking: Asking, tmp_path: Path) -> None:
    """The candle that was under way is asked for again, and so is all that came after it."""
    asking.server.bars["SOLUSDT", "5m"][2_500][4] = "1.00000000"
    asking.server.now_ms += 100 * 86_400_000
    assert len(download(asking, tmp_path).candles) == 2_501
    asking.reset(2_600)
    download(asking, tmp_path)
    assert on_file(tmp_path) == expected(asking, 2_600)


def test_a_clock_that_is_behind_costs_no_bars(asking: Asking, tmp_path: Path) -> None:
    download(asking, tmp_path)
    right, asking.server.now_ms = asking.server.now_ms, T0 + 100 * STEP
    download(asking, tmp_path, since_ms=T0 - STEP)
    asking.server.now_ms = right
    download(asking, tmp_path)
    assert on_file(tmp_path) == expected(asking, 2_500)


def test_one_empty_page_is_not_believed(asking: Asking, tmp_path: Path) -> None:
    asking.server.faults.extend([fine, empty])
    download(asking, tmp_path)
    assert on_file(tmp_path) == expected(asking, 2_500)


def test_bars_that_the_exchange_lacks_are_a_known_hole(asking: Asking, tmp_path: Path) -> None:
    rows = list(asking.server.bars["SOLUSDT", "5m"])
    asking.server.bars["SOLUSDT", "5m"] = rows[:990] + rows[1_100:1_200] + rows[1_203:]
    held = download(asking, tmp_path)
    assert held.holes(STEP) == (2, 113)
    asking.server.asked.clear()
    download(asking, tmp_path)
    assert asking.server.asked == []
    asking.server.bars["SOLUSDT", "5m"] = rows  # it has found them
    held = download(asking, tmp_path, refill=True)
    assert since_times(asking) == [990, 1_200]
    assert held.holes(STEP) == (0, 0)
    assert on_file(tmp_path) == expected(asking, 2_500)


def test_who_is_banned_is_told_and_keeps_what_has_come(asking: Asking, tmp_path: Path) -> None:
    asking.server.faults.extend([fine, too_many(86_400)])
    with pytest.raises(Refused, match="asks for a pause of 86,400 s") as refused:
        download(asking, tmp_path)
    assert "on file" in refused.value.way_out
    assert on_file(tmp_path) == expected(asking, 1_000)
    assert asking.pauses == []
    download(asking, tmp_path)
    assert on_file(tmp_path) == expected(asking, 2_500)


def test_an_exchange_that_never_answers_is_given_up(asking: Asking, tmp_path: Path) -> None:
    asking.server.faults.extend([fine, *[dropped] * TRIES])
    with pytest.raises(Refused, match=f"binance did not answer {TRIES} times in a row"):
        download(asking, tmp_path)
    assert asking.pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert on_file(tmp_path) == expected(asking, 1_000)


def test_what_has_come_is_on_file_while_it_goes_on(asking: Asking, tmp_path: Path) -> None:
    """So that a machine that goes down loses seconds: with a clock that runs, each page is saved before the next."""
    clock = itertools.count(0.0, 11.0)
    seen: list[int] = []

    def look(_: int) -> None:
        seen.append(len(on_file(tmp_path)) if store_in(tmp_path).path.exists() else 0)

    download(asking, tmp_path, on_page=look, clock=lambda: next(clock))
    assert seen == [0, 1_000, 2_000]


def test_an_interruption_at_any_page_loses_nothing(asking: Asking, tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        if done >= 2_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(asking, tmp_path, on_page=interrupt)
    assert on_file(tmp_path) == expected(asking, 2_000)
    asking.server.asked.clear()
    download(asking, tmp_path)
    assert since_times(asking) == [2_000]
    assert on_file(tmp_path) == expected(asking, 2_500)


def test_wishes_are_understood_as_people_write_them(asking: Asking) -> None:
    assert asking.markets == {
        "SOL": ExchangeMarket("SOL/USDT", True),
        "sol/usdc": ExchangeMarket("SOL/USDC", True),
        "SOLUSDT": ExchangeMarket("SOL/USDT", True),
        "SOL/USDT:USDT": ExchangeMarket("SOL/USDT:USDT", False),
    }


@pytest.mark.parametrize(
    ("exchange", "wish", "reason", "way_out"),
    [
        ("binanse", "SOL", "ccxt knows no exchange 'binanse'", "--exchange binance; near it: binance"),
        ("binance", "SOL/EUR", "binance trades no 'SOL/EUR'", "it trades SOL/USDC, SOL/USDT, SOL/USDT:USDT"),
    ],
)
def test_a_misspelt_name_is_answered_with_those_near_it(
    asking: Asking, ccxt_python: Path, exchange: str, wish: str, reason: str, way_out: str
) -> None:
    with (
        Exchange(ccxt_python, exchange, asking.server.options(), print) as other,
        pytest.raises(Refused, match=reason) as refused,
    ):
        other.markets([wish], "USDT", ["5m"])
    assert refused.value.way_out.startswith(way_out)


def test_trouble_before_the_markets_are_known_is_got_over(ccxt_python: Path, asking: Asking) -> None:
    asking.server.early_faults.extend([in_trouble, dropped])
    waits: list[str] = []
    pauses: list[float] = []
    with Exchange(ccxt_python, "binance", asking.server.options(), waits.append, pauses.append) as other:
        assert other.markets(["SOL"], "USDT", ["5m"])["SOL"].symbol == "SOL/USDT"
    assert pauses == [1.0, 2.0]
    assert "Internal error" in waits[0]


def test_without_a_network_it_says_so(ccxt_python: Path, asking: Asking) -> None:
    options = {**asking.server.options()}
    options["urls"] = {"api": dict.fromkeys(options["urls"]["api"], "http://127.0.0.1:9/x")}
    pauses: list[float] = []
    with (
        Exchange(ccxt_python, "binance", options, lambda _: None, pauses.append) as nowhere,
        pytest.raises(Refused, match="binance did not answer 6 times in a row") as refused,
    ):
        nowhere.markets(["SOL"], "USDT", ["5m"])
    assert "NetworkError" in refused.value.reason
    assert "connect this machine" in refused.value.way_out
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
