"""Malicious files (bombs, pipes, devices, names with terminal codes) are refused without memory use or waiting."""

import bz2
import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from config import settings
from config.bounds import Bounds
from config.errors import Refused
from config.reading import Reading
from state.files.layout import CHECKOUT
from tests.data import forms
from tests.data.test_forms import assert_same, write
from WORKFLOW import validation
from WORKFLOW.data.find import find_all
from WORKFLOW.data.forms import archive, bytes_in, json_forms, text
from WORKFLOW.data.forms.meter import Meter, bounds_of
from WORKFLOW.data.generate import demo_rows
from WORKFLOW.data.load import load, read

ZEROS = b"\0" * (80 << 20)


def bomb(kind: str) -> bytes:
    packers = {
        "gzip": lambda data: gzip.compress(data, 1),
        "xz": lambda data: lzma.compress(data, preset=0),
        "bzip2": bz2.compress,
        "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
        "gzip in gzip": lambda data: gzip.compress(gzip.compress(data, 1), 1),
    }
    return bytes(packers[kind](ZEROS))


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd", "gzip in gzip"])
def test_what_unpacks_to_far_more_than_bars_is_refused_at_its_limit(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, "SOL.csv.gz", bomb(kind))
    with pytest.raises(Refused, match="bars never compress that well"):
        read(path, "SOL")


LINE = b"1700000000000,100.0,100.0,100.0,100.0,0.0\n"


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, None])
def test_more_bytes_than_the_bound_are_refused_while_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes] | None
) -> None:
    """However well it packs: 63 MB are within what any packed file may unpack to."""
    text = LINE * 1_500_000
    path = write(tmp_path, "SOL.csv.gz", text if pack is None else pack(text))
    monkeypatch.setattr(bytes_in, "_PIECE", 1 << 20)
    tracemalloc.start()
    with pytest.raises(Refused, match=r" bytes or more, and 8 MB are the most") as refused:
        read(path, "SOL", Reading(bounds=Bounds(megabytes=8)))
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()
    assert "BACKTEST_OPTIMIZE__READING__MAX_FILE_MB=N" in refused.value.way_out


@pytest.mark.parametrize("kind", ["csv", "json", "two files"])
def test_more_rows_than_the_bound_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(json_forms, "read", None)  # neither is reached
    monkeypatch.setattr(text, "parse_csv", None)
    bounds = Reading(bounds=Bounds(rows=1_000))
    if kind == "two files":
        monkeypatch.undo()
        for month in ("01", "02"):
            write(tmp_path, f"SOLUSDT-5m-2024-{month}.csv", LINE * 600)
        with pytest.raises(Refused, match="has 600 rows, and 1,000 are the most") as refused:
            load(tmp_path, "SOL", bounds)
    else:
        data = LINE * 1_001 if kind == "csv" else b"[" + b",".join([b"[1700000000000,1,1,1,1,1]"] * 1_001) + b"]"
        with pytest.raises(Refused, match=r"has 1,00\d rows, and 1,000 are the most") as refused:
            read(write(tmp_path, f"SOL.{kind}", data), "SOL", bounds)
    assert "BACKTEST_OPTIMIZE__READING__MAX_ROWS=N" in refused.value.way_out


def test_what_is_not_read_in_time_is_refused(tmp_path: Path) -> None:
    late = Meter(Bounds(seconds=-1))
    with pytest.raises(Refused, match="was not read within") as refused:
        read(write(tmp_path, "SOL.csv", LINE), "SOL", meter=late)
    assert "BACKTEST_OPTIMIZE__READING__MAX_READ_S=N" in refused.value.way_out


def test_what_takes_more_memory_than_is_free_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path, "SOL.csv", LINE * 1_000_000)
    with pytest.raises(Refused, match="takes about 126 MB of memory, and 100 are free"):
        read(path, "SOL", meter=Meter(Bounds(), free=lambda: 100_000_000))
    rows = forms.rows_from(bars=10)
    assert_same(read(write(tmp_path, "SOL.csv", forms.plain(rows)), "SOL", meter=Meter(Bounds(), free=lambda: 0)), rows)


def test_memory_that_runs_out_all_the_same_is_a_reason_and_no_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise pa.ArrowMemoryError("malloc of size 12345 failed")

    monkeypatch.setattr(text, "parse_csv", full)
    with pytest.raises(Refused, match="memory ran out while") as refused:
        read(write(tmp_path, "SOL.csv", LINE * 10), "SOL")
    assert "in a file of its own" in refused.value.way_out


def test_the_bounds_are_those_of_the_settings_and_their_defaults_are_the_same(tmp_path: Path) -> None:
    """With a limit on memory that holds for every process it starts."""
    assert bounds_of(settings.load({}).reading) == Bounds()
    path = write(tmp_path, "SOL_5m.csv.gz", gzip.compress(LINE * 3_000_000))
    command = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3_000_000_000,) * 2); "
        "sys.path.insert(0, '.'); import WORKFLOW.validation as v; sys.exit(v.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, "--check-all", "--data-path", str(path), "--symbol", "SOL"],
        env=os.environ | {"BACKTEST_OPTIMIZE__READING__MAX_FILE_MB": "50", "VENV_PATH": sys.prefix},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, "50 MB are the most that is read" in done.stdout) == (1, True), done.stdout + done.stderr


def test_bars_that_never_move_pack_within_the_limit() -> None:
    lines = b"".join(b"%d,100.0,100.0,100.0,100.0,0.0\n" % (1_700_000_000_000 + 300_000 * at) for at in range(300_000))
    for data in (gzip.compress(lines), lzma.compress(lines), pa.compress(lines, codec="zstd", asbytes=True)):
        assert len(lines) < bytes_in.MOST_RATIO * len(data)


def test_a_zip_that_declares_too_much_and_one_that_declares_too_little_are_refused(tmp_path: Path) -> None:
    honest = forms.zipped(**{"SOL.csv": ZEROS})
    lying = honest.replace(struct.pack("<I", len(ZEROS)), struct.pack("<I", 1000))
    for data, said in ((honest, "bars never compress that well"), (lying, "torn|bars never compress that well")):
        tracemalloc.start()
        with pytest.raises(Refused, match=said):
            read(write(tmp_path, "SOL.zip", data), "SOL")
        assert tracemalloc.get_traced_memory()[1] < len(ZEROS) // 2
        tracemalloc.stop()


def test_a_zip_with_a_password_torn_or_of_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = forms.zipped(**{"SOL.csv": forms.plain(forms.rows_from())})
    locked = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[data.index(mark) + at] |= 1
    with pytest.raises(Refused, match="protected by a password"):
        read(write(tmp_path, "SOL.zip", bytes(locked)), "SOL")
    with pytest.raises(Refused, match="not a valid zip file"):
        read(write(tmp_path, "SOL.zip", data[:-30]), "SOL")
    monkeypatch.setattr(archive, "_MOST_MEMBERS", 1)
    with pytest.raises(Refused, match="holds 2 files"):
        read(write(tmp_path, "SOL.zip", forms.zipped(a=b"1", b=b"2")), "SOL")


def test_names_that_climb_out_of_a_zip_are_names_and_nothing_else(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    rows = forms.rows_from(bars=10)
    raw = read(write(inside, "SOL.zip", forms.zipped(**{"../../SOL_evil.csv": forms.plain(rows)})), "SOL")
    assert_same(raw, rows)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["SOL.zip", "inside"]


@pytest.mark.parametrize("name", ["SOL.parquet", "SOL.feather"])
def test_a_table_that_declares_a_billion_rows_is_refused_before_memory_is_taken(tmp_path: Path, name: str) -> None:
    """Sixty million rows of one repeated byte: a file of a few thousand bytes."""
    table = pa.table({"time": np.zeros(60_000_000, np.int8)})
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(table, tmp_path / name)
    else:
        pyarrow.feather.write_feather(table, str(tmp_path / name), compression="zstd", chunksize=1 << 30)
    del table
    held = pa.total_allocated_bytes()
    with pytest.raises(Refused, match="has 60,000,000 rows"):
        read(tmp_path / name, "SOL")
    assert pa.total_allocated_bytes() - held < 10_000_000


def test_pipes_devices_and_folders_are_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "SOL_5m.csv")
    for path in (tmp_path / "SOL_5m.csv", Path("/dev/zero"), Path("/dev/stdin")):
        with pytest.raises(Refused):
            find_all(path, "SOL")
        with pytest.raises(Refused, match=r"not a regular file|cannot read"):
            read(path, "SOL")
    with pytest.raises(Refused, match="no CSV"):
        find_all(tmp_path, "SOL")
    with pytest.raises(Refused, match=r"cannot read|not a regular file"):
        read(tmp_path, "SOL")
    (tmp_path / "SOL_link.csv").symlink_to(tmp_path / "SOL_5m.csv")
    with pytest.raises(Refused):
        load(tmp_path, "SOL")


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    rows = forms.rows_from(bars=10)
    (tmp_path / "elsewhere").mkdir()
    target = write(tmp_path / "elsewhere", "data.csv", forms.plain(rows))
    (tmp_path / "SOL_5m.csv").symlink_to(target)
    assert_same(load(tmp_path, "SOL"), rows)


@pytest.mark.parametrize("place", ["file", "column", "value", "member", "symbol", "folder"])
def test_what_a_terminal_would_obey_is_shown(tmp_path: Path, place: str) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07"
    folder = tmp_path / (f"d{evil}" if place == "folder" else "d")
    folder.mkdir()
    rows = forms.rows_from(bars=10)
    table = forms.plain(rows)
    data = {
        "file": b"nothing",
        "column": table.replace(b"close", evil.encode()),
        "value": table.replace(b",100.0,", f",{evil},".encode()),
        "member": forms.zipped(**{f"{evil}.csv": b"x", "y.csv": b"x"}),
        "symbol": forms._long(rows).replace(b"BTC/USDT", evil.encode()),
        "folder": b"nothing",
    }[place]
    path = write(folder, f"SOL{evil}.csv" if place == "file" else "SOL.csv", data)
    with pytest.raises(Refused) as refused:
        read(path, "ETH" if place == "symbol" else "SOL")
    assert "\x1b" not in str(refused.value)
    assert r"\x1b[2J" in refused.value.reason


def test_a_folder_of_such_names_is_listed_safely(tmp_path: Path) -> None:
    write(tmp_path, "a\x1b[31m.csv", b"x")
    with pytest.raises(Refused, match=r"it holds a\\x1b\[31m.csv"):
        find_all(tmp_path, "SOL")


def test_a_file_of_such_a_name_passes_the_checks_and_disturbs_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "SOL\x1b[2J_5m.csv", forms.plain(demo_rows(95)))
    assert validation.main(["--check-all", "--data-path", str(tmp_path), "--symbol", "SOL"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert r"SOL\x1b[2J_5m.csv" in said


def test_a_gzip_of_wrong_sums_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(forms.plain(forms.rows_from()))
    with pytest.raises(Refused, match="not a valid gzip file"):
        read(write(tmp_path, "SOL.csv.gz", data[:-8] + struct.pack("<II", zlib.crc32(b""), 5)), "SOL")
    assert zipfile.is_zipfile(io.BytesIO(forms.zipped(a=b"x")))


@pytest.mark.parametrize(
    "text", ["1" * 5_000, "9" * 400, "[" * 50_000, ",".join("1" * 3_000), "\n".join(["1,2,3,4,5,6"] * 3)]
)
def test_text_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Refused):
        read(write(tmp_path, "SOL.csv", text.encode()), "SOL")


def wounded(data: bytes, random: np.random.Generator) -> bytes:
    """With one wound, as disks, networks and editors make them."""
    at, lines = int(random.integers(len(data))), data.split(b"\n")
    line, place = int(random.integers(len(lines))), int(random.integers(len(lines)))
    foreign = (b"\0", b'"', b",", b";", b"\n", b"[", b"}", b"\xff", b"nan", b"\x1b[2J", b"1e999")
    ways = (
        lambda: data[:at],
        lambda: data[:at] + bytes([data[at] ^ 1 << int(random.integers(8))]) + data[at + 1 :],
        lambda: data[:at] + foreign[int(random.integers(len(foreign)))] + data[at:],
        lambda: data[:at] + data[at + int(random.integers(1, 50)) :],
        lambda: b"\n".join([*lines[:place], lines[line], *lines[place:]]),
    )
    return ways[int(random.integers(len(ways)))]()


@pytest.mark.parametrize("form", [*forms.EVERY, *forms.HUNDREDFOLD])
def test_a_file_with_a_wound_is_read_or_refused_and_nothing_else(tmp_path: Path, form: str) -> None:
    name, make = (forms.EVERY | forms.HUNDREDFOLD)[form]
    data = make(forms.rows_from(bars=60))
    random = np.random.default_rng(len(form))
    for _ in range(6):
        path = write(tmp_path, name, wounded(data, random))
        try:
            raw = read(path, "SOL")
        except Refused as refused:
            assert refused.way_out
            assert "\x1b" not in str(refused)
        else:
            assert len(raw) == len(raw.close) == len(raw.numbers)
