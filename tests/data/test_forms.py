"""Bars in the forms that people have them: each is read to the same rows, or refused with a way out that works."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.errors import Refused
from config.reading import Reading
from tests.data import forms
from WORKFLOW.data.load import load, read
from WORKFLOW.data.raw import RawTable


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def assert_same(raw: RawTable, rows: forms.Rows, scale: float = 1.0) -> None:
    assert raw.time_ms.tolist() == rows["time_ms"].tolist()
    for name in forms.PRICES:
        assert getattr(raw, name) == pytest.approx(rows[name] * scale, rel=1e-12), name
    if raw.has_volume:
        assert raw.volume == pytest.approx(rows["volume"], rel=1e-9)


@pytest.mark.parametrize("form", forms.EVERY)
def test_every_form_gives_the_same_rows(tmp_path: Path, form: str) -> None:
    name, make = forms.EVERY[form]
    rows = forms.rows_from()
    path = write(tmp_path, name, make(rows))
    raw = load(path if name == "all.zip" else tmp_path, "SOL")
    assert_same(raw, rows)
    assert raw.has_volume
    assert (raw.source, raw.symbol) == (str(path), "SOL")


@pytest.mark.parametrize("form", forms.HUNDREDFOLD)
def test_thousands_are_read_as_the_whole_column_has_them(tmp_path: Path, form: str) -> None:
    name, make = forms.HUNDREDFOLD[form]
    rows = forms.rows_from()
    assert_same(read(write(tmp_path, name, make(rows)), "SOL"), rows, 100)


def test_columns_of_two_levels_in_parquet_are_read(tmp_path: Path) -> None:
    rows = forms.rows_from()
    made = forms.frame(rows, pd.to_datetime(rows["time_ms"], unit="ms", utc=True), "Datetime").set_index("Datetime")
    made.columns = pd.MultiIndex.from_tuples([(name.title(), "SOL-USD") for name in forms.VALUES])
    made.to_parquet(tmp_path / "SOL.parquet")
    raw = read(tmp_path / "SOL.parquet", "SOL")
    assert_same(raw, rows)
    assert "the header has 2 lines: the columns of SOL-USD are read" in raw.notes


# what is decided is said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("CryptoDataDownload", "1 line above the table skipped: 'https://www.example.com'"),
        ("CryptoDataDownload", "rows ran from newest to oldest and were reversed"),
        ("CryptoDataDownload", "volume is read from column 'Volume SOL'"),
        ("a header repeated inside", "the header is repeated in 1 line inside the file, which are skipped"),
        ("Coinbase", "no header line: columns taken as time, low, high, open, close, volume, the only order in"),
        ("MetaTrader 5", "time is read from columns '<DATE>' and '<TIME>'"),
        ("MetaTrader 5", "volume is the number of ticks, the only volume in the file"),
        ("Sierra Chart", "close is read from column 'Last'"),
        ("Dukascopy", "dates are read day first"),
        ("Excel, American", "dates are read month first"),
        ("Excel, day numbers", "times are day numbers of a spreadsheet"),
        ("decimal comma", "numbers are written with a decimal comma"),
        ("several symbols", "rows of SOL/USDT are read (column 'symbol'); skipped: BTC/USDT"),
        ("yfinance, two tickers", "the header has 3 lines: the columns of SOL-USD are read"),
        ("Bybit", "rows are taken from 'result.list'"),
        ("csv named gzip", "SOL.csv.gz is not a gzip file, although its name says so: it is read as text"),
        ("an unknown name", "time is read from column 'moment of the bar', the only one that holds times"),
    ],
)
def test_what_was_decided_is_said(tmp_path: Path, form: str, said: str) -> None:
    name, make = forms.EVERY[form]
    notes = read(write(tmp_path, name, make(forms.rows_from())), "SOL").notes
    assert any(note.startswith(said) for note in notes), notes


def test_what_a_trading_program_leaves_open_is_said_once_and_without_contradiction(tmp_path: Path) -> None:
    """The zone of its server, and ticks as the only volume."""
    text = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"
    text += "".join(f"2024.05.01\t00:{5 * i:02}:00\t1.0\t2.0\t0.5\t1.5\t{7 + i}\n" for i in range(4))
    path = write(tmp_path, "SOL.csv", text.encode())
    raw = read(path, "SOL")
    assert raw.volume.tolist() == [7.0, 8.0, 9.0, 10.0]
    zone = "times without a zone are read as UTC; if they are local, name their zone with --timezone"
    assert [note for note in raw.notes if "zone" in note or "volume" in note] == [
        zone,
        "volume is the number of ticks, the only volume in the file",
    ]
    helsinki = read(path, "SOL", Reading(None, "Europe/Helsinki"))
    assert "times without a zone are read as Europe/Helsinki" in helsinki.notes
    assert zone not in helsinki.notes
    assert (raw.time_ms - helsinki.time_ms).tolist() == [3 * 3_600_000] * 4


def test_rows_are_called_by_their_numbers_in_the_file(tmp_path: Path) -> None:
    rows = forms.rows_from(bars=10)
    newest_first = read(write(tmp_path, "SOL.csv", forms.csv(forms.frame(rows)[::-1])), "SOL")
    assert newest_first.numbers.tolist() == list(range(10, 0, -1))
    several = read(write(tmp_path, "SOL_2.csv", forms._long(rows)), "SOL")
    assert several.numbers.tolist() == list(range(2, 21, 2))
    broken = forms.csv(forms.frame(rows)[::-1]).replace(b",100.0,", b",x,")
    with pytest.raises(Refused, match="open is 'x' in row 10 "):
        read(write(tmp_path, "SOL_3.csv", broken), "SOL")


# what only a person can say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["dmy", "mdy"])
def test_days_that_may_be_months_are_asked_for_and_the_answer_is_taken(tmp_path: Path, order: str) -> None:
    rows = forms.rows_from(int(pd.Timestamp("2024-03-01", tz="UTC").value // 1_000_000), bars=12)
    rows["time_ms"][6:] += 40 * 86_400_000  # a hole of weeks: neither order goes on from day to day
    pattern = "%d/%m/%Y %H:%M" if order == "dmy" else "%m/%d/%Y %H:%M"
    path = write(tmp_path, "SOL.csv", forms.csv(forms.frame(rows, forms.stamped(rows, pattern), "Date")))
    with pytest.raises(Refused, match="may have the day or the month first") as refused:
        read(path, "SOL")
    assert f"--date-format {order}" in refused.value.way_out
    assert_same(read(path, "SOL", Reading(date_format=order)), rows)


def test_days_that_go_on_from_day_to_day_in_one_order_only_are_told(tmp_path: Path) -> None:
    rows = forms.rows_from(int(pd.Timestamp("2024-03-01", tz="UTC").value // 1_000_000))
    path = write(tmp_path, "SOL.csv", forms.csv(forms.frame(rows, forms.stamped(rows, "%d/%m/%Y %H:%M"), "Date")))
    assert_same(read(path, "SOL"), rows)


@pytest.mark.parametrize("form", ["JavaScript", "slashes", "date and time apart", "Kaggle", "JSON, lists"])
def test_what_leaves_nothing_open_is_read_whatever_is_said_of_the_order(tmp_path: Path, form: str) -> None:
    name, make = forms.EVERY[form]
    rows = forms.rows_from(bars=50)
    assert_same(read(write(tmp_path, name, make(rows)), "SOL", Reading(date_format="dmy")), rows)


def test_a_pattern_of_ones_own_is_taken_and_what_does_not_fit_it_is_named(tmp_path: Path) -> None:
    rows = forms.rows_from(bars=300)
    pattern = "%Hh%M on %d|%m|%y"
    data = forms.csv(forms.frame(rows, forms.stamped(rows, pattern), "when")).replace(b"when", b"time", 1)
    path = write(tmp_path, "SOL.csv", data)
    with pytest.raises(Refused, match=r"time is '00h00 on 20|01|24' in row 1") as refused:
        read(path, "SOL")
    assert refused.value.way_out
    raw = read(path, "SOL", Reading(date_format=pattern))
    assert_same(raw, rows)
    assert f"times are read as --date-format {pattern}" in raw.notes
    write(tmp_path, "SOL.csv", data.replace(b"00h05 on", b"never on"))
    with pytest.raises(Refused, match=r"time is 'never on .*' in row 2"):
        read(path, "SOL", Reading(date_format=pattern))


def test_thousands_that_may_be_decimals_are_asked_for(tmp_path: Path) -> None:
    text = 'time,open,high,low,close,volume\n1704067200000,"1,234","1,240","1,230","1,235",5\n'
    path = write(tmp_path, "SOL.csv", text.encode())
    with pytest.raises(Refused, match=r"'1,234' in .* may separate thousands or decimals") as refused:
        read(path, "SOL")
    assert "1234.5" in refused.value.way_out
    write(tmp_path, "SOL.csv", text.replace(",2", "2").replace('"', "").encode())  # the way out: nothing between them
    assert read(path, "SOL").open.tolist() == [1234.0]


def test_volumes_alone_with_thousands_are_read(tmp_path: Path) -> None:
    text = 'time,open,high,low,close,volume\n1704067200000,1,2,1,2,"1,234.5"\n1704067500000,1,2,1,2,-\n'
    assert read(write(tmp_path, "SOL.csv", text.encode()), "SOL").volume.tolist() == [1234.5, 0.0]


def test_a_market_that_no_symbol_or_several_mean_is_asked_for(tmp_path: Path) -> None:
    rows = forms.rows_from(bars=10)
    path = write(tmp_path, "all.csv", forms._long(rows))
    with pytest.raises(
        Refused, match=r"column 'symbol' of .* holds BTC/USDT, SOL/USDT: none of them match 'ETH'"
    ) as refused:
        read(path, "ETH")
    assert refused.value.way_out == "type one of these as the symbol: BTCUSDT, SOLUSDT"
    assert_same(read(path, "SOLUSDT"), rows)


def test_contracts_that_follow_upon_each_other_are_one_market(tmp_path: Path) -> None:
    rows = forms.rows_from(bars=100)
    data = forms.csv(forms.frame(rows).assign(symbol=["SOLH4"] * 50 + ["SOLM4"] * 50))
    assert_same(read(write(tmp_path, "SOL.csv", data), "SOL"), rows)


def test_a_value_among_the_rows_of_one_market_is_named_by_its_row_there(tmp_path: Path) -> None:
    data = forms._long(forms.rows_from(bars=10)).replace(b",100.0,", b",x,")
    with pytest.raises(Refused, match=r"open is 'x' in row 1 .* of .* \(rows of SOL/USDT counted alone\)"):
        read(write(tmp_path, "SOL.csv", data), "SOL")


def test_columns_without_names_that_tell_nothing_are_refused_with_a_header_to_write(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    lines = [
        f"{1704067200 + 300 * at},1,2.9,{a},{b},9" for at, (a, b) in enumerate(random.uniform(1, 2.9, (50, 2)).round(3))
    ]
    path = write(tmp_path, "SOL.csv", "\n".join(lines).encode())
    with pytest.raises(Refused, match="do not show which column is open") as refused:
        read(path, "SOL")
    assert "time,open,high,low,close,volume" in refused.value.way_out
    write(tmp_path, "SOL.csv", "\n".join(["time,low,high,open,close,volume", *lines]).encode())
    assert read(path, "SOL").high.tolist() == [2.9] * 50


def test_rows_that_no_order_makes_possible_are_left_for_pre_flight_to_name(tmp_path: Path) -> None:
    rows = forms.rows_from(bars=50)
    rows["high"][7] = 1.0
    raw = read(write(tmp_path, "SOL.csv", forms.klines(rows)), "SOL")
    assert raw.high[7] == 1.0


def test_a_zone_in_some_rows_only_is_refused_with_the_row(tmp_path: Path) -> None:
    rows = forms.rows_from(bars=10)
    stamps = forms.stamped(rows, "%Y-%m-%d %H:%M:%S")
    stamps[6:] = [f"{one}+00:00" for one in stamps[6:]]
    path = write(tmp_path, "SOL.csv", forms.csv(forms.frame(rows, stamps, "time")))
    with pytest.raises(Refused, match=r"in row 7 of .*: a time zone, unlike the rows above"):
        read(path, "SOL")


# what is no bars ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "said", "way_out"),
    [
        (
            "SOL.csv",
            b"<html><head><title>403 Forbidden</title></head></html>",
            "a web page that says '403 Forbidden'",
            "again",
        ),
        (
            "SOL.csv",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a pointer of Git LFS",
            "git lfs pull",
        ),
        ("SOL.csv", b"\x80\x04\x95\x00\x00", "a Python pickle, which could run any program", "to_parquet"),
        ("SOL.xlsx", forms.zipped(**{"xl/workbook.xml": b"<x/>"}), "an Excel workbook", "CSV UTF-8"),
        ("SOL.csv", b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook", "CSV UTF-8"),
        ("SOL.h5", b"\x89HDF\r\n", "an HDF5 file", "to_parquet"),
        ("SOL.csv", b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack"),
        ("SOL-5m.json", b'{"retCode": 10001, "retMsg": "params error"}', "it says 'params error'", "give it as"),
        ("SOL-5m.json", b'{"code": -1121, "msg": "Invalid symbol."}', "it says 'Invalid symbol.'", "give it as"),
        ("SOL.zip", forms.zipped(**{"BTC_5m.csv": b"x", "ETH_5m.csv": b"x"}), "holds BTC_5m.csv, ETH_5m.csv", "unpack"),
        ("SOL.csv", b"close_time,open,high,low,close\n1,1,1,1,1\n", "no column for time", "close_time without"),
    ],
)
def test_what_holds_no_bars_is_named_with_what_helps(
    tmp_path: Path, name: str, data: bytes, said: str, way_out: str
) -> None:
    with pytest.raises(Refused) as refused:
        read(write(tmp_path, name, data), "SOL")
    assert said in refused.value.reason
    assert way_out in refused.value.way_out


def test_a_file_of_another_kind_in_a_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path, "SOLUSDT_5m.pkl", b"\x80\x04")
    with pytest.raises(Refused, match=r"SOLUSDT_5m.pkl is a Python pickle"):
        load(tmp_path, "SOL")
