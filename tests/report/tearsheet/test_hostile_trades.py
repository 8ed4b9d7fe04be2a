"""Files of trades made to hurt: bombs, views without end, pipes, names that a terminal would obey: all refused.

Each is read in a process that may take little memory and little time: what fills either fails the test.
"""

import bz2
import gzip
import io
import lzma
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from config.errors import Refused
from state.files.layout import CHECKOUT
from WORKFLOW.report.tearsheet import trades_file
from WORKFLOW.report.tearsheet.sources import bounds

ZEROS = b"\0" * (100 << 20)
MOST_MEMORY = 3 << 30  # of address space; numpy and Arrow alone take 1 GiB of it
_SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
_READ = "import sys; from pathlib import Path; from WORKFLOW.report.tearsheet import trades_file as t; "
_READ += (
    "from config.errors import Refused\ntry: t.read(Path(sys.argv[1]), None)\nexcept Refused as error: print(error)"
)


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return made.getvalue()


def parquet(rows: int) -> bytes:
    made = io.BytesIO()
    part = pa.table({"exit_time": np.zeros(20_000_000, np.int8), "pnl": np.zeros(20_000_000, np.int8)})
    with pyarrow.parquet.ParquetWriter(made, part.schema) as writer:
        for _ in range(rows // len(part)):
            writer.write_table(part, row_group_size=len(part))
    return made.getvalue()


def feather(rows: int) -> bytes:
    made = io.BytesIO()
    column = np.zeros(rows, np.int8)
    table = pa.table({"exit_time": column, "pnl": column})
    pyarrow.feather.write_feather(table, made, compression="zstd", chunksize=1 << 30)
    return made.getvalue()


def database(statement: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute(statement)
    connection.commit()
    data = connection.serialize()
    connection.close()
    return data


ENDLESS = "CREATE VIEW trades AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) "
BOMBS: dict[str, Callable[[], bytes]] = {
    "t.csv.gz": lambda: gzip.compress(ZEROS, 1),
    "gzip in gzip": lambda: gzip.compress(gzip.compress(ZEROS, 1), 1),
    "t.csv.xz": lambda: lzma.compress(ZEROS, preset=0),
    "t.csv.bz2": lambda: bz2.compress(ZEROS),
    "t.csv.zst": lambda: bytes(pa.compress(ZEROS, codec="zstd", asbytes=True)),
    "t.zip": lambda: zipped(t_dot_csv=ZEROS),
    "many.zip": lambda: zipped(**{f"t{at}_dot_csv": ZEROS[: 20 << 20] for at in range(5)}),
    "lines.csv.gz": lambda: gzip.compress(b"exit_time,pnl\n" + b"2024-01-01,1\n" * 2_500_000, 1),
    "values.json": lambda: b"[" + b",".join(b'{"a%d":1}' % at for at in range(20_000)) + b"]",
    "brackets.json": lambda: b"[" + b"[],[],[],[]," * 2_000_000 + b"[]]",
    "wide.xlsx": lambda: zipped(
        xl__workbook_dot_xml=b"<x/>",
        xl__worksheets__sheet1_dot_xml=_SHEET.encode() + b'<row><c r="XFD1"><v>1</v></c></row>' * 20_000,
    ),
    "big.xlsx": lambda: zipped(xl__workbook_dot_xml=b"<x/>", xl__worksheets__sheet1_dot_xml=ZEROS),
    "rows.html": lambda: b"<table>" + b"<tr><td>1</td></tr>" * 2_500_000,
    "billion.parquet": lambda: parquet(1_000_000_000),
    "hundred.feather": lambda: feather(100_000_000),
    "endless.sqlite": lambda: database(ENDLESS + "SELECT x AS pnl, x AS exit_time FROM r"),
    "long.sqlite": lambda: database(
        ENDLESS + "SELECT x AS pnl, hex(zeroblob(400000000)) AS exit_time FROM r LIMIT 100"
    ),
}


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def read_apart(path: Path) -> str:
    """What a process of its own says of it, with little memory; a hang or a traceback fails."""
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=_bounded,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_trades_is_refused_at_its_limit(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    said = read_apart(path)
    assert any(
        words in said
        for words in ("never compress that well", "rows", "more than 1 GiB", "a table of trades that can be read")
    ), said
    assert "\n  → " in said


def test_a_list_at_the_limit_is_no_bomb() -> None:
    bounds.check_table("t.csv", bounds.MOST_ROWS, 20)
    bounds.check_json("t.json", '{"a":1,"b":[1,2]},' * 100_000)


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device", "link to a pipe"])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.csv"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe") if kind.startswith("link") else (tmp_path / "pipe").rename(path)
    with pytest.raises(Refused, match=r"not a regular file|cannot read") as refused:
        trades_file.read(path, None)
    assert "bars" not in str(refused.value)


def test_entities_of_a_workbook_reach_no_file_and_do_not_grow(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("5,000")
    grow = "".join(f'<!ENTITY a{at} "{f"&a{at - 1};" * 10}">' for at in range(1, 12))
    for entity, used in ((f'<!ENTITY x SYSTEM "file://{secret}">', "&x;"), ('<!ENTITY a0 "lol">' + grow, "&a11;")):
        sheet = f'<!DOCTYPE w [{entity}]>{_SHEET}<row><c r="A1"><v>{used}</v></c></row></sheetData></worksheet>'
        path = tmp_path / "t.xlsx"
        path.write_bytes(zipped(xl__workbook_dot_xml=b"<x/>", xl__worksheets__sheet1_dot_xml=sheet.encode()))
        with pytest.raises(Refused, match="not an Excel workbook that can be read"):
            trades_file.read(path, None)


def test_what_a_terminal_would_obey_in_the_name_of_a_file_of_trades_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "t\x1b[2J\x1b]0;owned\x07.csv"
    path.write_text("exit_time,pnl\n2024-01-01,none\n")
    with pytest.raises(Refused) as refused:
        trades_file.read(path, None)
    assert "\x1b" not in str(refused.value)
    assert r"\x1b[2J" in str(refused.value)
