"""The exported strategy: its signals are ours on every bar, and what it tells freqtrade means what ours mean."""

import ast
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.errors import Refused
from scripts.swarm.export.freqtrade import candle_minutes, export
from tests.export.strategies import PARAMETERS, Provider, demo, expected, finalist, frame_of, loaded, signals
from WORKFLOW.data.bars import Bars

COLUMNS = ("enter_long", "enter_short", "exit_long", "exit_short")
T0 = datetime(2024, 1, 1, tzinfo=UTC)


def named(parameters: dict[str, Any]) -> str:
    return f"{parameters['fast_timeframe']}-{parameters['slow_timeframe']}-{parameters['direction']}"


@pytest.fixture(scope="module")
def bars() -> Bars:
    return demo()


@pytest.mark.parametrize("with_candles", [True, False], ids=["exchange candles", "base candles alone"])
@pytest.mark.parametrize("parameters", PARAMETERS, ids=named)
def test_its_signals_are_ours_on_every_bar(bars: Bars, parameters: dict[str, Any], with_candles: bool) -> None:
    found, ours = signals(loaded(parameters), bars, with_candles), expected(bars, parameters)
    assert sum(int(ours[name].sum()) for name in COLUMNS) >= 20
    for name in COLUMNS:
        assert np.array_equal(found[name].to_numpy(), ours[name]), name


@pytest.mark.parametrize("parameters", PARAMETERS[:4], ids=named)
def test_later_candles_change_no_earlier_signal(bars: Bars, parameters: dict[str, Any]) -> None:
    whole = signals(loaded(parameters), bars, True)
    for end in (len(bars) // 2, len(bars) // 2 + 7, len(bars) - 1):
        part = signals(loaded(parameters), bars.before(end), True)
        for name in COLUMNS:
            assert part[name].tolist() == whole[name].tolist()[:end]


def test_too_few_candles_give_no_signal_and_no_error() -> None:
    bars = demo(days=3)
    for end in (1, 5, 40, len(bars)):
        found = signals(loaded(PARAMETERS[0]), bars.before(end), True)
        assert not found[list(COLUMNS)].to_numpy()[: 3 * 40 * 12 - 12].any()


@pytest.mark.parametrize("parameters", PARAMETERS, ids=named)
def test_the_file_is_python_of_interface_3_and_says_what_it_is(parameters: dict[str, Any]) -> None:
    made = export(finalist(parameters), None, "binance")
    text = made.files["strategies/SolAggressiveBestSharpe.py"]
    tree = ast.parse(text)
    assert "$" not in text
    assert "Not tradeable: a test." in (ast.get_docstring(tree) or "")
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"datetime", "freqtrade.strategy", "pandas"}
    instance = loaded(parameters)
    assert (instance.INTERFACE_VERSION, instance.timeframe) == (3, "5m")
    assert instance.can_short is (parameters["direction"] != "long_only")
    stops = [parameters[name] for name in ("stop_loss", "trailing_stop") if parameters[name]]
    assert instance.stoploss == -min([*stops, 0.99])


def test_it_asks_for_the_candles_of_its_timeframes() -> None:
    for parameters, names in zip(
        PARAMETERS, (("15m", "1h"), ("15m", "2h"), ("30m", "4h"), ("1h", "6h"), ("1h",), ("15m",)), strict=True
    ):
        instance = loaded(parameters)
        instance.dp = Provider({})
        assert instance.informative_pairs() == [("SOL/USDT", name) for name in names]


@pytest.mark.parametrize(("timeframe", "candles"), [(5, 5), (15, 15), (45, 15), (60, 60), (240, 240), (360, 360)])
def test_buckets_are_made_of_candles_that_exchanges_have(timeframe: int, candles: int) -> None:
    assert candle_minutes(timeframe) == candles


def test_the_configuration_is_a_dry_run_with_the_costs_of_the_search() -> None:
    config = json.loads(export(finalist(PARAMETERS[0]), None, "kraken").files["config-SolAggressiveBestSharpe.json"])
    assert (config["dry_run"], config["fee"], config["dry_run_wallet"]) == (True, 0.0005, 10_000.0)
    assert (config["trading_mode"], config["exchange"]["pair_whitelist"]) == ("futures", ["SOL/USDT:USDT"])
    long_only = json.loads(
        export(finalist(PARAMETERS[1]), "SOL/USDC", "kraken").files["config-SolAggressiveBestSharpe.json"]
    )
    assert (long_only["trading_mode"], long_only["stake_currency"]) == ("spot", "USDC")


@pytest.mark.parametrize(
    ("parameters", "family", "pair", "said", "way_out"),
    [
        (PARAMETERS[0], "donchian", None, "only mtf_ema can be exported", "conservative, balanced, aggressive"),
        (PARAMETERS[0], "mtf_ema", "SOL/USDT", "SOL/USDT cannot be sold short", "--pair SOL/USDT:USDT"),
        (PARAMETERS[1], "mtf_ema", "SOLUSDT", "'SOLUSDT' is not a pair", "--pair SOL/USDT"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    parameters: dict[str, Any], family: str, pair: str | None, said: str, way_out: str
) -> None:
    with pytest.raises(Refused, match=said) as refused:
        export(finalist(parameters, family), pair, "binance")
    assert way_out in refused.value.way_out


# --- exits ----------------------------------------------------------------------------------------------------------


def trade(is_short: bool, open_rate: float = 100.0, fee: float = 0.0005) -> SimpleNamespace:
    return SimpleNamespace(
        is_short=is_short, open_rate=open_rate, fee_open=fee, fee_close=fee, leverage=1.0, open_date_utc=T0
    )


@pytest.mark.parametrize("is_short", [False, True])
def test_its_roi_is_the_profit_after_fees_at_our_level(is_short: bool) -> None:
    """freqtrade: close · (1 ∓ fee) against open · (1 ± fee), over what was opened."""
    fee, move = 0.0005, PARAMETERS[0]["take_profit"]
    asked = loaded(PARAMETERS[0]).custom_roi("SOL/USDT", trade(is_short), T0, 0, None, "short" if is_short else "long")
    if is_short:
        opened, closed = 100 * (1 - fee), 100 * (1 - move) * (1 + fee)
        profit = (opened - closed) / opened
    else:
        opened, closed = 100 * (1 + fee), 100 * (1 + move) * (1 - fee)
        profit = (closed - opened) / opened
    assert asked == pytest.approx(profit, abs=1e-15)


def held_candles() -> pd.DataFrame:
    """One before the entry, which must not count, and three since."""
    dates = pd.to_datetime([T0 + timedelta(minutes=5 * at) for at in range(-1, 3)], utc=True)
    return pd.DataFrame({"date": dates, "high": [999.0, 101.0, 110.0, 104.0], "low": [1.0, 99.0, 90.0, 96.0]})


@pytest.mark.parametrize(("is_short", "best", "now"), [(False, 110.0, 120.0), (True, 90.0, 80.0)])
def test_its_trail_follows_the_best_price_of_earlier_candles(is_short: bool, best: float, now: float) -> None:
    instance, trail = loaded(PARAMETERS[3]), PARAMETERS[3]["trailing_stop"]
    instance.dp = Provider({"analysed": held_candles()})
    away = 1 if is_short else -1
    asked = instance.custom_stoploss("SOL/USDT", trade(is_short), T0 + timedelta(minutes=16), now, 0.0)
    assert now * (1 + away * asked) == pytest.approx(best * (1 + away * trail))
    instance.dp = Provider({"analysed": held_candles()[:1]})  # the entry candle: from the price it was opened at
    asked = instance.custom_stoploss("SOL/USDT", trade(is_short), T0, 100.0, 0.0)
    assert asked == pytest.approx(min(trail, PARAMETERS[3]["stop_loss"]))


@pytest.mark.parametrize("is_short", [False, True])
def test_a_candle_that_opens_beyond_the_stop_is_left_at_its_open(is_short: bool) -> None:
    instance = loaded(PARAMETERS[0])
    stop = 100.0 * (1 + PARAMETERS[0]["stop_loss"] * (1 if is_short else -1))
    for price, is_beyond in ((stop * 0.999, not is_short), (stop * 1.001, is_short)):
        said = instance.custom_exit("SOL/USDT", trade(is_short), T0, price, 0.0)
        assert said == ("gap_beyond_stop" if is_beyond else None)


def test_it_closes_after_so_many_candles() -> None:
    instance, most = loaded(PARAMETERS[4]), PARAMETERS[4]["max_bars"]
    for held, said in ((most - 1, None), (most, "max_bars"), (most + 5, "max_bars")):
        now = T0 + timedelta(minutes=5 * held)
        assert instance.custom_exit("SOL/USDT", trade(False), now, 100.0, 0.0) == said
    assert loaded(PARAMETERS[0]).custom_exit("SOL/USDT", trade(False), T0 + timedelta(days=900), 100.0, 0.0) is None


def test_candles_of_a_longer_timeframe_are_whole(bars: Bars) -> None:
    base, hours = frame_of(bars), frame_of(bars, 60)
    assert (hours["date"].dt.minute == 0).all()
    first = base[(base["date"] >= hours["date"][0]) & (base["date"] < hours["date"][1])]
    assert len(first) == 12
    assert (hours["open"][0], hours["close"][0]) == (first["open"].iloc[0], first["close"].iloc[-1])
    assert (hours["high"][0], hours["low"][0]) == (first["high"].max(), first["low"].min())
    assert hours["volume"][0] == pytest.approx(first["volume"].sum())
