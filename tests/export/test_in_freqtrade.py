"""freqtrade itself runs exported strategies over our bars, where it is installed, in front of an exchange on loopback.

It is GPL and no part of the product: BACKTEST_OPTIMIZE_FREQTRADE names its command, else it is looked for on PATH.
"""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.swarm.export import bars as bars_file
from scripts.swarm.export.freqtrade import export
from state.files import snapshot
from tests.export.strategies import PARAMETERS, demo, evaluator, finalist
from tests.export.test_freqtrade import named
from tests.fetch.binance import T0, Binance, serving
from WORKFLOW.data.bars import Bars

TICK = 0.01


@pytest.fixture(scope="module")
def freqtrade() -> str:
    command = os.environ.get("BACKTEST_OPTIMIZE_FREQTRADE") or shutil.which("freqtrade")
    if command is None:
        pytest.skip("freqtrade is not installed; BACKTEST_OPTIMIZE_FREQTRADE names its command")
    return command


@pytest.fixture(scope="module")
def exchange() -> Iterator[Binance]:
    server = Binance(now_ms=T0)
    for market in ("SOLUSDT", "SOLUSDT_PERP"):
        server.add(market, "5m", 10)
    with serving(server):
        yield server


@pytest.fixture(scope="module")
def bars() -> Bars:
    return demo()


def backtest(freqtrade: str, exchange: Binance, bars: Bars, parameters: dict[str, Any], user: Path) -> list[Any]:
    chosen = finalist(parameters)
    made = export(chosen, None, "binance")
    for name, text in made.files.items():
        snapshot.write_bytes(user / name, text.encode())
    bars_file.write(bars, chosen, made, user)
    here = {"urls": exchange.options()["urls"], "options": {"fetchMarkets": {"types": ["spot", "linear"]}}}
    (user / "here.json").write_text(json.dumps({"exchange": {"ccxt_config": here}}))
    configs = ("-c", str(user / f"config-{made.name}.json"), "-c", str(user / "here.json"))
    done = subprocess.run(
        [freqtrade, "backtesting", "--userdir", str(user), *configs, "--cache", "none", "--export", "trades"],
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    [result] = (user / "backtest_results").glob("*.zip")
    with zipfile.ZipFile(result) as archive:
        [name] = [one for one in archive.namelist() if one == f"{result.stem}.json"]
        trades: list[Any] = json.loads(archive.read(name))["strategy"][made.name]["trades"]
    return [one for one in trades if one["exit_reason"] != "force_exit"]  # of the trade still open at the end


@pytest.mark.slow
@pytest.mark.parametrize("parameters", PARAMETERS[:4], ids=named)
def test_freqtrade_enters_where_we_enter_and_leaves_in_the_same_candles(
    freqtrade: str, exchange: Binance, bars: Bars, parameters: dict[str, Any], tmp_path: Path
) -> None:
    theirs = backtest(freqtrade, exchange, bars, parameters, tmp_path)
    engine = evaluator(bars)
    ours = engine.ledger(parameters, engine.whole).trades
    times = bars.rows["time_ms"]
    assert len(ours) >= 20
    assert [(one["open_timestamp"], one["is_short"]) for one in theirs] == [
        (int(times[trade["entry_bar"]]), bool(trade["side"] < 0)) for trade in ours
    ]
    same = [
        (one, trade)
        for one, trade in zip(theirs, ours, strict=True)
        if one["close_timestamp"] == int(times[trade["exit_bar"]])
    ]
    assert len(same) >= 0.98 * len(ours)
    slip = engine.costs.slippage_bps / 10_000
    away = np.array([abs(one["close_rate"] - trade["exit_price"]) for one, trade in same])
    allowed = np.array([TICK * 1.001 + slip * trade["exit_price"] for _, trade in same])
    assert (
        away <= allowed
    ).mean() >= 0.95  # the others: a gap over a take-profit, a trail moved by the stop's own candle
