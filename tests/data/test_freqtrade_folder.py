"""A data folder of freqtrade's, its files written as freqtrade writes them (pandas, pyarrow), read as it is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from config.errors import Refused
from config.settings import load
from WORKFLOW.data.find import find, find_minutes
from WORKFLOW.data.load import read
from WORKFLOW.validation import check_all

NAMES = ["open", "high", "low", "close", "volume"]


def frame(rows: NDArray[np.void], scale: float = 1.0) -> pd.DataFrame:
    made = pd.DataFrame({name: rows[name] * (1 if name == "volume" else scale) for name in NAMES})
    made.insert(0, "date", pd.to_datetime(rows["time_ms"], unit="ms", utc=True).as_unit("ms"))
    return made


def write(folder: Path, name: str, made: pd.DataFrame) -> Path:
    """What freqtrade's feather, Parquet and JSON handlers do (2026.9)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name.endswith(".feather"):
        made.to_feather(path, compression_level=9, compression="lz4")
    elif name.endswith(".parquet"):
        made.to_parquet(path)
    else:
        plain = made.assign(date=made["date"].astype("int64"))
        plain.to_json(path, orient="values", compression="gzip" if name.endswith(".gz") else None)
    return path


@pytest.fixture
def exchange(tmp_path: Path) -> Path:
    return tmp_path / "user_data" / "data" / "binance"


@pytest.mark.parametrize("ending", ["feather", "parquet", "json", "json.gz"])
def test_each_of_its_formats_passes_the_checks_with_the_same_bars(
    exchange: Path, rows: NDArray[np.void], ending: str
) -> None:
    for other in ("SOL_USDT-1h", "SOL_USDT-15m", "BTC_USDT-5m"):
        write(exchange, f"{other}.{ending}", frame(rows[:10]))
    path = write(exchange, f"SOL_USDT-5m.{ending}", frame(rows))
    outcome = check_all(load(), exchange, "SOL")
    assert outcome.passed, outcome.reasons
    assert outcome.bars is not None
    assert (outcome.bars.source, outcome.bars.tick) == (str(path), 0.01)
    for name in ("time_ms", *NAMES):
        assert outcome.bars.rows[name].tolist() == rows[name].tolist()


def test_contracts_lie_in_a_folder_of_their_own(exchange: Path, rows: NDArray[np.void]) -> None:
    futures = exchange / "futures"
    path = write(futures, "SOL_USDT_USDT-5m-futures.feather", frame(rows))
    minutes = write(futures, "SOL_USDT_USDT-1m-futures.feather", frame(rows[:10]))
    for name in ("5m-mark", "1m-mark", "8h-funding_rate", "5m-index", "5m-premiumIndex", "1h-futures"):
        write(futures, f"SOL_USDT_USDT-{name}.feather", frame(rows[:10]))
    assert find(exchange, "SOL") == find(futures, "SOL") == path
    assert find_minutes(exchange, "SOL") == find_minutes(futures, "SOL") == minutes
    assert check_all(load(), exchange, "SOL").passed


def test_the_spot_market_comes_first_and_keeps_to_its_own_minutes(exchange: Path, rows: NDArray[np.void]) -> None:
    write(exchange / "futures", "SOL_USDT_USDT-5m-futures.feather", frame(rows[:10]))
    write(exchange / "futures", "SOL_USDT_USDT-1m-futures.feather", frame(rows[:10]))
    path = write(exchange, "SOL_USDT-5m.feather", frame(rows[:10]))
    assert find(exchange, "SOL") == path
    assert find_minutes(exchange, "SOL") is None


@pytest.mark.parametrize("named", ["user_data", "user_data/data"])
def test_a_folder_further_up_names_the_one_that_holds_the_symbol(
    tmp_path: Path, exchange: Path, rows: NDArray[np.void], named: str
) -> None:
    write(exchange, "SOL_USDT-5m.feather", frame(rows[:10]))
    with pytest.raises(Refused) as refused:
        find(tmp_path / named, "SOL")
    assert refused.value.way_out == f"name the folder that does: {exchange}"


def test_json_that_says_no_timeframe_is_something_else(tmp_path: Path, rows: NDArray[np.void]) -> None:
    (tmp_path / "SOL_notes.json").write_text("{}")
    path = write(tmp_path, "SOL_5m.json", frame(rows[:10]))
    assert find(tmp_path, "SOL") == path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[1704067200000, 1, 2, 0.5, 1.5, 3], [17040", "is not valid JSON"),
        ('{"date": 1}', "is not a JSON array of rows"),
        ("[1, 2]", "is not a JSON array of rows"),
        ("[[1704067200000, 1, 2, 0.5, 1.5, 3], [1, 2]]", "row 2 of .* has 2 values"),
        ("[[1704067200000, 1, 2, 0.5]]", "row 1 of .* has 4 values"),
        ("[]", "no rows"),
        ("[[1704067200000, 1, 2, 0.5, [1], 3], [1704067500000, 1, 2, 0.5, 2, 3]]", "close of .* more than numbers"),
        ('[[1704067200000, "1", "2", "0.5", "x", "3"]]', "close is 'x' in row 1"),
    ],
)
def test_broken_json_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "SOL_5m.json"
    path.write_text(text)
    with pytest.raises(Refused, match=said):
        read(path, "SOL")


def test_missing_values_in_json_are_for_pre_flight_to_judge(tmp_path: Path) -> None:
    path = tmp_path / "SOL_5m.json"
    path.write_text("[[1704067200000, 1.0, 2.0, null, 1.5, 3.0], [1704067500000, 1.0, 2.0, 0.5, 1.5, 3.0]]")
    assert np.isnan(read(path, "SOL").low).tolist() == [True, False]
