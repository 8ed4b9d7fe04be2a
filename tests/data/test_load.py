import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from config.errors import Refused
from WORKFLOW.data.find import find, market_name
from WORKFLOW.data.load import read

T0 = 1_672_531_200_000
TIMES = [T0, T0 + 300_000, T0 + 600_000]
HEADER = "timestamp,open,high,low,close,volume"
LINES = [
    f"{T0},9.95,9.97,9.93,9.94,10927.07",
    f"{T0 + 300_000},9.94,9.96,9.89,9.9,15699.63",
    f"{T0 + 600_000},9.9,9.91,9.9,9.91,1",
]
CSV = "\n".join([HEADER, *LINES]) + "\n"
COLUMNS = {
    "timestamp": TIMES,
    "open": [9.95, 9.94, 9.9],
    "high": [9.97, 9.96, 9.91],
    "low": [9.93, 9.89, 9.9],
    "close": [9.94, 9.9, 9.91],
    "volume": [10927.07, 15699.63, 1.0],
}


def write(folder: Path, text: str | bytes, name: str = "SOL_5m.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def write_table(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        pyarrow.feather.write_feather(table, str(path))
    return path


def with_times(values: object) -> pa.Table:
    return pa.table({**COLUMNS, "timestamp": values})


def refusal(path: Path, symbol: str = "SOL") -> Refused:
    with pytest.raises(Refused) as caught:
        read(find(path, symbol), symbol)
    assert caught.value.way_out
    return caught.value


# --- formats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SOL.csv", "SOL.csv.gz", "SOL.parquet", "SOL.feather", "SOL.CSV"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.lower().endswith(".csv"):
        path.write_text(CSV)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(CSV.encode()))
    else:
        write_table(path, pa.table(COLUMNS))
    raw = read(path, "SOL")
    assert raw.time_ms.tolist() == TIMES
    for field in ("open", "high", "low", "close", "volume"):
        assert getattr(raw, field).tolist() == COLUMNS[field]
        assert getattr(raw, field).dtype == np.float64
    assert (raw.source, raw.has_volume, raw.synthetic, raw.notes) == (str(path), True, False, ())


@pytest.mark.parametrize(
    "header",
    [
        "Timestamp,Open,High,Low,Close,Volume",
        "date,o,h,l,c,v",
        "open_time,OPEN,HIGH,LOW,CLOSE,vol",
        "Open time,Open,High,Low,Close,Volume",
        "time, open, high, low, close, volume",
        "datetime,open,high,low,close,volume",
        ",open,high,low,close,volume",
        '"timestamp","open","high","low","close","volume"',
    ],
)
def test_columns_are_found_by_alias(tmp_path: Path, header: str) -> None:
    raw = read(write(tmp_path, "\n".join([header, *LINES])), "SOL")
    assert raw.time_ms.tolist() == TIMES
    assert raw.low.tolist() == COLUMNS["low"]


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_other_delimiters_line_ends_and_a_byte_order_mark(tmp_path: Path, delimiter: str, newline: str) -> None:
    text = "\ufeff" + CSV.replace(",", delimiter).replace("\n", newline)
    assert read(write(tmp_path, text), "SOL").close.tolist() == COLUMNS["close"]


def test_columns_in_another_order_and_columns_nobody_asked_for(tmp_path: Path) -> None:
    text = f"close,note,low,high,open,volume,date\n9.94,x,9.93,9.97,9.95,1,{T0}\n"
    raw = read(write(tmp_path, text), "SOL")
    assert (raw.open[0], raw.high[0], raw.low[0], raw.close[0]) == (9.95, 9.97, 9.93, 9.94)


def test_an_exchange_kline_file_without_header(tmp_path: Path) -> None:
    lines = [f"{line},{T0},1.5,300,2.5,3.5,0" for line in LINES]
    raw = read(write(tmp_path, "\n".join(lines)), "SOL")
    assert raw.time_ms.tolist() == TIMES
    assert raw.volume.tolist() == COLUMNS["volume"]
    assert "no header line" in raw.notes[0]


def test_two_time_columns_take_the_first_alias_and_say_so(tmp_path: Path) -> None:
    raw = read(write(tmp_path, f"date,timestamp,open,high,low,close,volume\nx,{LINES[0]}"), "SOL")
    assert raw.time_ms.tolist() == [T0]
    assert "ignored: 'date'" in raw.notes[0]


def test_absent_volume_is_zero_and_noted(tmp_path: Path) -> None:
    raw = read(write(tmp_path, f"timestamp,open,high,low,close\n{T0},1,2,0.5,1.5"), "SOL")
    assert (raw.has_volume, raw.volume.tolist()) == (False, [0.0])
    assert "no volume column" in raw.notes[0]


def test_an_empty_field_is_nan_for_pre_flight_to_judge(tmp_path: Path) -> None:
    raw = read(write(tmp_path, f"{HEADER}\n{T0},1,2,,1.5,nan"), "SOL")
    assert np.isnan(raw.low[0])
    assert np.isnan(raw.volume[0])


def test_synthetic_is_told_by_metadata_or_by_the_symbol(tmp_path: Path) -> None:
    table = pa.table(COLUMNS).replace_schema_metadata({"synthetic": "true"})
    assert read(write_table(tmp_path / "SOL.parquet", table), "SOL").synthetic
    assert read(write_table(tmp_path / "SOL.feather", table), "SOL").synthetic
    assert read(write(tmp_path, CSV), "synthetic2").synthetic


def test_prices_in_32_bits_are_noted(tmp_path: Path) -> None:
    table = pa.table({**COLUMNS, "open": pa.array(COLUMNS["open"], pa.float32())})
    assert "64 bits" in read(write_table(tmp_path / "SOL.parquet", table), "SOL").notes[0]


# --- moments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{s}",
        "{s}.0",
        "{ms}",
        "{ms}000",
        "{ms}000000",
        "2023-01-01 00:00:00",
        "2023-01-01T00:00:00Z",
        "2023-01-01T00:00:00.000Z",
        "2023-01-01 00:00:00+00:00",
        "2023-01-01 02:00+02:00",
        "2023-01-01",
        " 2023-01-01 00:00 ",
    ],
)
def test_moments_in_every_notation(tmp_path: Path, text: str) -> None:
    stamp = text.format(s=T0 // 1000, ms=T0)
    assert read(write(tmp_path, f"{HEADER}\n{stamp},1,2,0.5,1.5,3"), "SOL").time_ms.tolist() == [T0]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.int64(), pa.uint64()]
)
@pytest.mark.parametrize("name", ["SOL.parquet", "SOL.feather"])
def test_moments_as_column_types(tmp_path: Path, kind: pa.DataType, name: str) -> None:
    times = pa.array(TIMES, pa.int64())
    typed = (
        times.cast(pa.timestamp("ms", getattr(kind, "tz", None))).cast(kind)
        if "time" in str(kind)
        else times.cast(kind)
    )
    assert read(write_table(tmp_path / name, with_times(typed)), "SOL").time_ms.tolist() == TIMES


def test_dictionary_text_and_large_text_columns(tmp_path: Path) -> None:
    text = pa.array([str(t) for t in TIMES])
    table = with_times(text.dictionary_encode()).set_column(
        1, "open", pa.array(["9.95", "9.94", "9.9"], pa.large_string())
    )
    raw = read(write_table(tmp_path / "SOL.parquet", table), "SOL")
    assert (raw.time_ms.tolist(), raw.open.tolist()) == (TIMES, COLUMNS["open"])


def test_units_that_change_inside_a_file_are_read_and_noted(tmp_path: Path) -> None:
    """Binance's files went from milliseconds to microseconds on 2025-01-01; people paste them together."""
    lines = [LINES[0], LINES[1].replace("00000,", "00000000,", 1)]
    raw = read(write(tmp_path, "\n".join([HEADER, *lines])), "SOL")
    assert raw.time_ms.tolist() == TIMES[:2]
    assert "ms from row 1, µs from row 2" in raw.notes[0]


@pytest.mark.parametrize(
    "stamp", ["yesterday", "2023/01/01", "0", "-5", "7", "1e400", f"{T0}001", "99999999999999999999"]
)
def test_what_is_no_moment_is_named_with_its_row(tmp_path: Path, stamp: str) -> None:
    refused = refusal(write(tmp_path, "\n".join([HEADER, LINES[0], f"{stamp},1,2,0.5,1.5,3"])))
    assert "row 2" in refused.reason
    assert "SOL_5m.csv" in refused.reason
    assert "epoch" in refused.way_out


def test_a_moment_between_milliseconds_is_refused_in_a_typed_column(tmp_path: Path) -> None:
    times = pa.array([T0 * 1_000_000, T0 * 1_000_000 + 1, T0 * 1_000_000 + 2]).cast(pa.timestamp("ns"))
    assert "row 2" in refusal(write_table(tmp_path / "SOL.parquet", with_times(times))).reason


def test_a_missing_moment_is_refused(tmp_path: Path) -> None:
    assert "row 2 of" in refusal(write(tmp_path, f"{CSV}".replace(str(TIMES[1]), ""))).reason
    assert "row 3" in refusal(write_table(tmp_path / "SOL.parquet", with_times([*TIMES[:2], None]))).reason


# --- bad files -----------------------------------------------------------------------------------------------------


def test_a_number_that_is_none_is_named_with_value_row_and_moment(tmp_path: Path) -> None:
    refused = refusal(write(tmp_path, CSV.replace("9.89", "9,89".replace(",", "'"))))
    assert 'low is "9\'89" in row 2 (2023-01-01 00:05 UTC)' in refused.reason


def test_a_missing_column_names_the_ones_that_are_there(tmp_path: Path) -> None:
    refused = refusal(write(tmp_path, CSV.replace("close", "fixing")))
    assert "no column for close; its columns are timestamp, open, high, low, fixing, volume" in refused.reason


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "2 columns called 'open'" in refusal(write(tmp_path, CSV.replace("high", "Open"))).reason


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("SOL.csv", b"", "empty (0 bytes)"),
        ("SOL.csv", b"\n\n", "holds no text"),
        ("SOL.csv", HEADER.encode(), "no rows"),
        ("SOL.csv", HEADER.encode() + b"\n", "no rows"),
        ("SOL.csv", b"\x81\xfe\x00bad\n1", "not UTF-8"),
        ("SOL.csv", b"\xff\xfebad", "not valid UTF-16 text"),
        ("SOL.csv", CSV.encode() + b"\xff,1,1,1,1,1\n", "line 5 of"),
        ("SOL.csv", CSV.replace("\n", "\r").encode(), "the first line of"),
        ("SOL.csv", b"1,2,3\n4,5,6\n", "only 3 columns"),
        ("SOL.csv", f"{CSV}1,2,3\n".encode(), "row 4 has 3 fields instead of 6: '1,2,3'"),
        ("SOL.csv.gz", b"", "empty (0 bytes)"),
        ("SOL.csv.gz", b"half a download", "not a valid gzip file"),
        ("SOL.csv.gz", gzip.compress(CSV.encode())[:-12], "not a valid gzip file"),
        ("SOL.parquet", b"PAR1 and no more", "not a valid Parquet file"),
        ("SOL.parquet", b"half a download", "not a valid Parquet file"),
        ("SOL.feather", b"ARROW1\0\0", "not a valid Feather file"),
        ("SOL.feather", b"half a download", "not a valid Feather file"),
        ("SOL-5m.json", b"[" * 100_000, "not valid JSON"),
        ("SOL-5m.json", b"[[1704067200000,1" + b"0" * 400 + b",1,1,1,1]]", "open of"),
        ("SOL.csv", b"\x1b[31mred\n1\n", r"its columns are \x1b[31mred"),
        ("SOL.xlsx", b"half of one", "not a CSV, text, Parquet, Feather or JSON file"),
    ],
)
def test_broken_files_are_refused_by_name(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    refused = refusal(write(tmp_path, data, name))
    assert said in refused.reason
    assert name in refused.reason


@pytest.mark.parametrize("name", ["SOL.parquet", "SOL.feather"])
@pytest.mark.parametrize("left", [0.2, 0.6, 0.95])
def test_a_download_that_was_cut_off_is_refused(tmp_path: Path, name: str, left: float) -> None:
    table = pa.table({key: values * 5_000 for key, values in COLUMNS.items()})
    whole = write_table(tmp_path / name, table).read_bytes()
    assert "not a valid" in refusal(write(tmp_path, whole[: int(len(whole) * left)], name)).reason


@pytest.mark.parametrize("name", ["SOL.parquet", "SOL.feather"])
def test_a_column_name_with_a_flipped_bit_is_refused(tmp_path: Path, name: str) -> None:
    data = write_table(tmp_path / name, pa.table(COLUMNS)).read_bytes()
    refusal(write(tmp_path, data.replace(b"volume", b"v\xfflume"), name))


def test_text_with_a_flipped_bit_inside_a_feather_file_is_refused(tmp_path: Path) -> None:
    table = pa.table({**COLUMNS, "open": ["9.95", "9.94", "9.9"]})
    pyarrow.feather.write_feather(table, str(tmp_path / "SOL.feather"), compression="uncompressed")
    data = (tmp_path / "SOL.feather").read_bytes()
    assert "not a valid" in refusal(write(tmp_path, data.replace(b"9.959.94", b"9.95\xff.94"), "SOL.feather")).reason


@pytest.mark.parametrize("flip", range(5))
def test_a_gzip_with_a_flipped_bit_is_refused(tmp_path: Path, flip: int) -> None:
    data = bytearray(gzip.compress(("\n".join([HEADER, *LINES * 500])).encode()))
    data[len(data) * (flip + 1) // 7] ^= 4
    assert "not a valid gzip file" in refusal(write(tmp_path, bytes(data), "SOL.csv.gz")).reason


def test_column_types_that_hold_no_numbers_are_refused(tmp_path: Path) -> None:
    flags = pa.table({**COLUMNS, "close": [True, False, True]})
    assert "close column" in refusal(write_table(tmp_path / "SOL.parquet", flags)).reason
    nested = with_times([[1], [2], [3]])
    assert "time column" in refusal(write_table(tmp_path / "SOL.parquet", nested)).reason


# --- finding -------------------------------------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        write(folder, CSV, name)
    return folder


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("SOL", "SOL_USDT-5m.feather"),
        ("sol", "SOLUSDT_5m.csv.gz"),
        ("SOLUSDT", "solusdt.parquet"),
        ("SOL_U", "SOL_USDT.csv"),
    ],
)
def test_a_file_is_found_by_the_start_of_its_name(tmp_path: Path, symbol: str, name: str) -> None:
    touch(tmp_path, name, "BTCUSDT_5m.csv", "DIRTY_SOLUSDT_5m.csv", "SOLUSDT.txt", ".SOL.csv")
    assert find(tmp_path, symbol) == tmp_path / name


@pytest.mark.parametrize(
    "other", ["SOL_USDT-1h.csv", "SOLUSDT_15m.csv", "SOL-1d-2024.csv", "SOL_60min.csv", "SOL_1M.csv"]
)
def test_other_timeframes_are_passed_over(tmp_path: Path, other: str) -> None:
    touch(tmp_path, other)
    with pytest.raises(Refused, match="another timeframe"):
        find(tmp_path, "SOL")
    touch(tmp_path, "SOL_5m_730d.csv")
    assert find(tmp_path, "SOL").name == "SOL_5m_730d.csv"


def test_two_candidates_are_an_error_that_names_both(tmp_path: Path) -> None:
    touch(tmp_path, "SOLUSDT_5m.csv", "SOL_USDT-5m.feather")
    with pytest.raises(Refused, match=r"2 files .*: SOLUSDT_5m.csv, SOL_USDT-5m.feather"):
        find(tmp_path, "SOL")


def test_nothing_found_names_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds no files"):
        find(tmp_path, "SOL")
    touch(tmp_path, *(f"C{number:02}.csv" for number in range(14)))
    with pytest.raises(Refused, match=r"it holds C00.csv, .*C09.csv and 4 more"):
        find(tmp_path, "SOL")


def test_a_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, CSV, "anything-1h.csv")
    assert find(path, "SOL") == path


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    assert "nothing at" in refusal(tmp_path / "absent").reason
    assert "cannot look at" in refusal(tmp_path / ("x" * 300)).reason
    os.mkfifo(tmp_path / "pipe.csv")
    assert "neither a folder nor a regular file" in refusal(tmp_path / "pipe.csv").reason


@pytest.mark.parametrize(
    "symbol", ["", ".", "..", ".SOL", "a/b", "../SOL", "SOL\n", "SOL USDT", "ÄÖ", "x" * 41, "SOL\0"]
)
def test_a_symbol_that_cannot_name_a_folder_is_refused(tmp_path: Path, symbol: str) -> None:
    with pytest.raises(Refused, match="cannot name a results folder"):
        find(touch(tmp_path, "SOL.csv"), symbol)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Become the user `nobody` for a moment when this is root, because permissions do not bind root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    path = touch(folder, "SOL.csv") / "SOL.csv"
    folder.chmod(0)
    try:
        with somebody_else():
            assert "Permission denied" in refusal(path).reason
    finally:
        folder.chmod(0o755)


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, CSV)
    path.chmod(0)
    with somebody_else(), pytest.raises(Refused, match="Permission denied"):
        read(path, "SOL")


@pytest.mark.parametrize(
    ("name", "symbol", "is_said"),
    [
        ("SOLO_USDT-5m.csv", "SOL", True),
        ("BTCDOMUSDT_5m.csv", "btc", True),
        ("SOLO_USDT-5m.csv", "solo", False),
        ("SOLUSDT_5m.csv", "SOL", False),
        ("sol_usdt-5m.csv", "SOL", False),
        ("SOL-5m.csv", "SOL", False),
        ("my bars.csv", "SOL", False),
    ],
)
def test_a_name_that_goes_on_like_another_market_is_said(tmp_path: Path, name: str, symbol: str, is_said: bool) -> None:
    notes = read(write(tmp_path, CSV, name), symbol).notes
    assert (f"{name} is read as {symbol}, because its name begins with that symbol" in notes) is is_said


@pytest.mark.parametrize("symbol", ["SOL", "sol", "SOLU", "SOLUSDT", "SOLUSDT_"])
def test_a_market_has_one_name_however_its_symbol_is_typed(tmp_path: Path, symbol: str) -> None:
    (tmp_path / "SOLUSDT_5m.csv").touch()
    assert market_name(tmp_path, symbol) == "SOLUSDT"
    assert market_name(tmp_path / "SOLUSDT_5m.csv", symbol) == "SOLUSDT"
    assert market_name(None, symbol) == symbol


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SOL_USDT-5m.feather", "SOLUSDT"),
        ("SOLUSDT_5m.csv.gz", "SOLUSDT"),
        ("sol-usdt-5m.json", "SOLUSDT"),
        ("SOL_USDT_USDT-5m-futures.feather", "SOLUSDTUSDT"),
    ],
)
def test_a_market_has_one_name_in_whatever_layout_its_bars_lie(tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / file).touch()
    assert market_name(tmp_path / file, "SOL") == name


def test_a_file_named_by_its_timeframe_alone_goes_by_the_symbol(tmp_path: Path) -> None:
    (tmp_path / "_5m.csv").touch()
    assert market_name(tmp_path / "_5m.csv", "SOL") == "SOL"


def test_a_price_alone_is_no_bar_and_no_other_name_would_make_it_one(tmp_path: Path) -> None:
    path = tmp_path / "SOLUSDT_5m.csv"
    path.write_text("timestamp,close\n1704067200000,100.5\n1704067500000,100.6\n", encoding="utf-8")
    with pytest.raises(Refused, match="has no column for open, high, low") as refusal:
        read(path, "SOL")
    assert refusal.value.way_out.startswith("export the bars again with time, open, high, low, close")
