"""Files of one market in a folder are joined in order of time; equal rows count once, differing rows are named."""

from pathlib import Path

import pytest

from config.errors import Refused
from tests.data import forms
from tests.data.test_forms import assert_same, write
from WORKFLOW.data.find import find_all, find_all_minutes, market_name
from WORKFLOW.data.load import load


def test_monthly_archives_of_changing_units_are_joined_in_the_order_of_time(tmp_path: Path) -> None:
    rows = forms.rows_from()
    parts = {"2024-11": rows[400:], "2023-09": rows[:200], "2024-02": rows[200:400]}
    for name, part in parts.items():
        data = forms.klines(part, micros=name == "2024-11")
        write(tmp_path, f"SOLUSDT-5m-{name}.zip", forms.zipped(**{f"SOLUSDT-5m-{name}.csv": data}))
        write(tmp_path, f"SOLUSDT-5m-{name}.zip.CHECKSUM", b"0  x")
    raw = load(tmp_path, "SOL")
    assert_same(raw, rows)
    assert raw.source == str(tmp_path)
    assert raw.notes[0].startswith("joined from 3 files: SOLUSDT-5m-2023-09.zip (200 rows, 2024-01-20 00:00 to ")
    assert raw.notes[1:] == ("no header line: columns taken as open_time, open, high, low, close, volume",)
    assert raw.numbers.tolist() == [*range(1, 201), *range(1, 201), *range(1, 201)]
    assert market_name(tmp_path, "SOL") == "SOLUSDT"


def test_zips_and_what_was_unpacked_from_them_lie_side_by_side(tmp_path: Path) -> None:
    rows = forms.rows_from()
    for name, part in (("2024-01", rows[:300]), ("2024-02", rows[300:])):
        write(tmp_path, f"SOLUSDT-5m-{name}.zip", forms.zipped(**{"SOL.csv": forms.klines(part)}))
    write(tmp_path, "SOLUSDT-5m-2024-01.csv", forms.klines(rows[:300]))
    raw = load(tmp_path, "SOL")
    assert_same(raw, rows)
    assert "; 300 rows that two of them share are counted once" in raw.notes[0]


def test_a_zip_of_several_months_is_joined(tmp_path: Path) -> None:
    rows = forms.rows_from()
    halves = {f"SOLUSDT-5m-2024-0{at}.csv": forms.klines(part) for at, part in ((2, rows[300:]), (1, rows[:300]))}
    raw = load(write(tmp_path, "download.zip", forms.zipped(**halves, **{"BTCUSDT-5m-2024-01.csv": b"x"})), "SOL")
    assert_same(raw, rows)
    assert raw.source == str(tmp_path / "download.zip")


def test_newest_first_and_oldest_first_are_joined(tmp_path: Path) -> None:
    rows = forms.rows_from()
    write(tmp_path, "SOL_5m_2023.csv", forms.csv(forms.frame(rows[:300])[::-1]))
    write(tmp_path, "SOL_5m_2024.csv", forms.plain(rows[300:]))
    raw = load(tmp_path, "SOL")
    assert_same(raw, rows)
    assert "SOL_5m_2023.csv: rows ran from newest to oldest and were reversed" in raw.notes


def test_two_files_that_differ_are_refused_with_both_rows(tmp_path: Path) -> None:
    rows = forms.rows_from()
    write(tmp_path, "SOL_5m_2023.csv", forms.plain(rows[:310]))
    rows["close"][305:] = rows["high"][305:]
    write(tmp_path, "SOL_5m_2024.csv", forms.plain(rows[300:]))
    with pytest.raises(Refused) as refused:
        load(tmp_path, "SOL")
    assert (
        "differ in row 306 (2024-01-21 01:25 UTC) of SOL_5m_2023.csv and row 6 (2024-01-21 01:25 UTC)"
        in refused.value.reason
    )
    assert "and 4 more moments" in refused.value.reason
    (tmp_path / "SOL_5m_2023.csv").rename(tmp_path / "old.csv")  # the way out
    assert len(load(tmp_path, "SOL")) == 300


def test_a_part_that_runs_to_and_fro_is_left_for_pre_flight(tmp_path: Path) -> None:
    rows = forms.rows_from()
    write(tmp_path, "SOL_5m_2023.csv", forms.plain(rows[[0, 2, 1]]))
    write(tmp_path, "SOL_5m_2024.csv", forms.plain(rows[300:]))
    assert load(tmp_path, "SOL").time_ms[:3].tolist() == rows["time_ms"][[0, 2, 1]].tolist()


@pytest.mark.parametrize(
    ("symbol", "names", "found"),
    [
        ("SOL", ["SOLUSDT-5m-2024-01.csv", "SOLUSDT-5m-2024-02.csv", "SOLUSDT-1h-2024-01.csv"], 2),
        ("SOL", ["SOLUSDT_5m_20240101_20240630.csv", "SOLUSDT_5m_20240701_20241231.csv"], 2),
        ("SOL", ["SOL_5m_01.01.2024-31.01.2024.csv", "SOL_5m_01.02.2024-29.02.2024.csv"], 2),
        ("SOL", ["SOLUSD_5_2024Q1.csv", "SOLUSD_5_2024Q2.csv"], 2),
        ("SOL", ["BINANCE_SOLUSDT, 5.csv", "BINANCE_SOLUSDT, 5 (1).csv"], 2),
        ("SOL", ["BINANCE_SOLUSDT, 5.csv", "BINANCE_SOLUSDT, 60.csv", "BINANCE_ETHUSDT, 5.csv"], 1),
        ("XBT", ["XBTUSD_1.csv", "XBTUSD_5.csv", "XBTUSD_1440.csv"], 1),
        ("EUR", ["EURUSD5.csv", "EURUSD15.csv", "EURUSD60.csv"], 1),
        ("EUR", ["EURUSD_M5.csv", "EURUSD_H1.csv"], 1),
        ("EUR", ["DAT_ASCII_EURUSD_M5_2023.csv", "DAT_ASCII_EURUSD_M5_2024.csv"], 2),
        ("SOL", ["SOL_5m.csv", "SOL_5m.txt", "SOL_5m.zip"], 1),
        ("SOL", ["SOL_5m.txt"], 1),
        ("BTC", ["Bitstamp_BTCUSD_5m.csv"], 1),
    ],
)
def test_parts_and_timeframes_are_told_by_their_names(
    tmp_path: Path, symbol: str, names: list[str], found: int
) -> None:
    for name in [*names, "notes.txt"]:
        (tmp_path / name).touch()
    assert len(find_all(tmp_path, symbol)) == found


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("SOL", ["SOLUSDT-5m-2024-01.csv", "SOLUSDC-5m-2024-01.csv"]),
        ("SOL", ["SOLUSDT_5m.csv", "SOL_USDT-5m.feather"]),
        ("SOL", ["SOLUSDT_5m.csv", "SOLUSDT_5m.csv.gz"]),
        ("SOL", ["BINANCE_SOLUSDT, 5.csv", "BYBIT_SOLUSDC, 5.csv"]),
    ],
)
def test_files_of_several_markets_or_layouts_are_never_joined(tmp_path: Path, symbol: str, names: list[str]) -> None:
    rows = forms.rows_from()
    for name in names:
        write(tmp_path, name, forms.plain(rows))
    with pytest.raises(Refused, match=r"2 files in .* start with 'SOL'") as refused:
        find_all(tmp_path, symbol)
    assert "name the file itself" in refused.value.way_out
    assert len(find_all(tmp_path / names[0], symbol)) == 1


def test_another_coins_market_is_no_venue(tmp_path: Path) -> None:
    (tmp_path / "ETH_BTC-5m.feather").touch()
    with pytest.raises(Refused, match="starts with 'BTC'"):
        find_all(tmp_path, "BTC")


def test_archives_further_down_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "spot" / "monthly" / "klines" / "SOLUSDT" / "5m"
    folder.mkdir(parents=True)
    write(folder, "SOLUSDT-5m-2024-01.csv", forms.klines(forms.rows_from()))
    with pytest.raises(Refused) as refused:
        find_all(tmp_path, "SOL")
    assert refused.value.way_out == f"name the folder that does: {folder}"


def test_minutes_may_lie_in_parts_as_well(tmp_path: Path) -> None:
    for name in (
        "SOLUSDT-5m-2024-01.csv",
        "SOLUSDT-5m-2024-02.csv",
        "SOLUSDT-1m-2024-01.csv",
        "SOLUSDT-1m-2024-02.csv",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in find_all_minutes(tmp_path, "SOL")] == [
        "SOLUSDT-1m-2024-01.csv",
        "SOLUSDT-1m-2024-02.csv",
    ]
