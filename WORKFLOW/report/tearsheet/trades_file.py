"""Trades from a CSV file of any program: columns by their usual names, and every assumption said."""

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.errors import Refused
from WORKFLOW.data import columns
from WORKFLOW.data.bars import Floats
from WORKFLOW.data.load import lines_of, parse_csv, read_bytes
from WORKFLOW.report.tearsheet.curves import moment
from WORKFLOW.report.tearsheet.trading import Trades

# In the order of preference; names are compared in lower case with _ for spaces.
ALIASES: dict[str, tuple[str, ...]] = {
    "exit_time": ("exit_time", "close_time", "close_date", "exit_date", "exittime", "closed_at", "exit_timestamp"),
    "entry_time": ("entry_time", "open_time", "open_date", "entry_date", "entrytime", "opened_at", "entry_timestamp"),
    "pnl": ("pnl", "net_pnl", "profit_abs", "realized_pnl", "profit", "net_profit"),
    "pct": (
        "net_pnl_pct",
        "return_pct",
        "returnpct",
        "profit_ratio",
        "pnl_pct",
        "profit_pct",
        "return",
        "gross_pnl_pct",
    ),
    "side": ("side", "direction", "is_short", "trade_side"),
    "entry_price": ("entry_price", "open_rate", "entryprice", "avg_entry_price"),
    "exit_price": ("exit_price", "close_rate", "exitprice", "avg_exit_price"),
    "mae": ("mae_pct",),
    "mfe": ("mfe_pct",),
    "status": ("status", "trade_status"),
    "reason": ("reason_close", "exit_reason", "sell_reason", "close_reason"),
}
PNL, PCT, EITHER = "pnl", "pct", "either"
FRACTION, PERCENT = "fraction", "percent"

_LONG, _SHORT = {"long", "buy", "1", "1.0", "+1", "false"}, {"short", "sell", "-1", "-1.0", "true"}
_ZONE = re.compile(r"(Z|[+-]\d{2}:?\d{2})$")
_TIME_HELP = "times are ISO 8601 (2024-03-01T10:00:00Z, or with an offset such as +02:00) or epoch s, ms, µs"
_PRICE_TOLERANCE = 0.02  # of a result, fees apart: percent and fractions differ by a factor of 100
_OURS = {"bars", "reason_open", "gross_pnl_pct", "net_pnl_pct"}  # of our own files: not read, and nothing to say of it
_NAME_SHOWN = 40  # letters of a column's name: a file that is no CSV has one of thousands
_GUESS_TRADES = 5  # trades with a result far from 0 that it takes to tell which


@dataclass(frozen=True)
class Found:
    """The trades, sorted by exit, and what had to be assumed to read them."""

    trades: Trades
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    path: str  # as messages call it
    names: tuple[str, ...]
    position: dict[str, int]
    columns: pa.Table

    def __contains__(self, field: str) -> bool:
        return field in self.position

    def name(self, field: str) -> str:
        return self.names[self.position[field]]

    def text(self, field: str) -> pa.ChunkedArray:
        return pc.utf8_trim_whitespace(self.columns.column(self.position[field]))


def read(path: Path, capital: float, wants: str = EITHER, unit: str | None = None) -> Found:
    """The closed trades of a CSV file (gzip too).

    `wants`: `PNL` needs a column of currency, `PCT` derives it from a column of percent or fractions, all equity in
    every trade; `EITHER` takes pnl where there is one. `unit` says what a pct column holds; None tells by the prices,
    and takes fractions, as our own files have, where there are none.

    Raises:
        Refused: a column that is needed is missing, or a value is none; names column, row and value.
    """
    table = _table(path)
    notes = (*_repeated(table), *_ignored(table))
    table, closed_notes = _closed(table)
    exit_ms, zone_note = _moments(table, "exit_time")
    entry_ms, entry_note = _moments(table, "entry_time") if "entry_time" in table else (None, zone_note)
    _same_zone(table, zone_note, entry_note)
    _in_order(table, entry_ms, exit_ms)
    order = np.argsort(exit_ms, kind="stable")
    sorting = () if (np.diff(exit_ms) >= 0).all() else ("rows were not in the order of their exits: sorted",)
    side, mae, mfe = _sides(table), _optional(table, "mae"), _optional(table, "mfe")
    pnl, net, money_notes = _money(table, order, capital, wants, unit, side)
    reasons = None
    if "reason" in table:
        words = [str(word or "unknown") for word in table.text("reason").to_pylist()]
        reasons = tuple(words[at] for at in order.tolist())
    return Found(
        Trades(
            exit_ms=exit_ms[order],
            pnl=pnl,
            net=net,
            entry_ms=None if entry_ms is None else entry_ms[order],
            side=None if side is None else side[order],
            mae=None if mae is None else mae[order],
            mfe=None if mfe is None else mfe[order],
            reasons=reasons,
        ),
        (*money_notes, *zone_note, *closed_notes, *sorting, *notes),
    )


# the table ------------------------------------------------------------------------------------------------------------


def _table(path: Path) -> _Table:
    data, fields, delimiter = lines_of(path, _plain(path))
    names = tuple(name.strip() for name in fields)
    position = _positions(path, names)
    columns_ = parse_csv(path, data, delimiter, len(names), skip=1)
    if not len(columns_):
        raise Refused(f"{path} has a header line and no trade", "export it again, with closed trades")
    return _Table(str(path), names, position, columns_)


def _plain(path: Path) -> bytes:
    data = read_bytes(path)
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(f"{path} is not a whole gzip file: {error}", "export it again") from error


def _positions(path: Path, names: Sequence[str]) -> dict[str, int]:
    plain = [_plain_name(name) for name in names]
    position = {}
    for field, aliases in ALIASES.items():
        found = [alias for alias in aliases if alias in plain]
        if found and plain.count(found[0]) > 1:
            raise Refused(f"{path} has {plain.count(found[0])} columns called {found[0]!r}", "keep one of them")
        if found:
            position[field] = plain.index(found[0])
    if "exit_time" not in position:
        raise Refused(
            f"{path} has no column for the time of the exit; its columns are {_listed(names)}",
            f"call it exit_time (a header line is needed); known as well: {', '.join(ALIASES['exit_time'][1:])}",
        )
    return position


def _plain_name(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")


def _ignored(table: _Table) -> tuple[str, ...]:
    """Columns that are read for nothing: unknown ones, and those beside one that was preferred to them."""
    read_ = set(table.position.values())
    left = [name for at, name in enumerate(table.names) if name and at not in read_ and _plain_name(name) not in _OURS]
    return (f"columns not used: {_listed(left)}",) if left else ()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name if len(name) <= _NAME_SHOWN else f"{name[:_NAME_SHOWN]}…") for name in names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown or "none"


def _repeated(table: _Table) -> tuple[str, ...]:
    """Two fills may be alike in all they say; a file that was put together twice is as well."""
    distinct = table.columns.group_by(table.columns.column_names, use_threads=False).aggregate([])
    again = len(table.columns) - len(distinct)
    return (f"{again:,} rows repeat an earlier one in every column: each counts as a trade",) if again else ()


def _closed(table: _Table) -> tuple[_Table, tuple[str, ...]]:
    """Without the trades that are still open: no exit time, or said so."""
    text = table.text("exit_time")
    closed = pc.fill_null(pc.greater(pc.utf8_length(text), 0), False)
    if "status" in table:
        closed = pc.and_(closed, pc.fill_null(pc.not_equal(pc.utf8_lower(table.text("status")), "open"), True))
    still_open = len(text) - pc.sum(closed).as_py()
    if not still_open:
        return table, ()
    if still_open == len(text):
        raise Refused(f"none of the {len(text):,} trades in {table.path} is closed", "give trades with an exit time")
    left = _Table(f"{table.path} (rows of closed trades)", table.names, table.position, table.columns.filter(closed))
    return left, (f"{still_open:,} trades are still open (no exit time, or status open): left out",)


# times and sides ------------------------------------------------------------------------------------------------------


def _moments(table: _Table, field: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    text = table.text(field)
    for kind, note in ((pa.timestamp("us"), "times without a zone are taken as UTC"), (pa.timestamp("us", "UTC"), "")):
        try:
            found = text.cast(kind)
        except pa.ArrowInvalid:
            continue
        if found.null_count:
            break
        micros = found.cast(pa.int64()).to_numpy()
        return np.array(micros // 1_000, dtype=np.int64), (note,) if note else ()
    _one_zone(table, field)
    try:
        return columns.moments(table.columns.column(table.position[field]), table.path)[0], ()
    except Refused as refusal:
        reason = refusal.reason.replace("time is", f"{table.name(field)} is", 1)
        raise Refused(reason, _TIME_HELP) from refusal


def _same_zone(table: _Table, of_exit: tuple[str, ...], of_entry: tuple[str, ...]) -> None:
    """Entries without a zone beside exits with one are hours apart from where they belong; numbers have none to say."""
    if of_exit == of_entry or any(_is_epoch(table, field) for field in ("exit_time", "entry_time")):
        return
    one, other = (table.name(field) for field in ("exit_time", "entry_time"))
    bare, zoned = (one, other) if of_exit else (other, one)
    raise Refused(
        f"{zoned} of {table.path} has a time zone and {bare} has none",
        "write both with a zone, or both without (then they are UTC)",
    )


def _is_epoch(table: _Table, field: str) -> bool:
    return str(table.text(field)[0].as_py()).replace(".", "", 1).isdecimal()


def _one_zone(table: _Table, field: str) -> None:
    """Some times with a zone and some without cannot be told from a mistake."""
    words = [word or "" for word in table.text(field).to_pylist()]
    zoned = np.array([bool(_ZONE.search(word)) and not word.isdecimal() for word in words])
    plain = np.array(["-" in word and not zone for word, zone in zip(words, zoned.tolist(), strict=True)])
    if zoned.any() and plain.any():
        with_zone, without = int(np.argmax(zoned)), int(np.argmax(plain))
        raise Refused(
            f"{table.name(field)} has a time zone in row {with_zone + 1:,} of {table.path} ({words[with_zone]})"
            f" and none in row {without + 1:,} ({words[without]})",
            "write all of them with a zone, or all without (then they are UTC)",
        )


def _in_order(table: _Table, entry_ms: NDArray[np.int64] | None, exit_ms: NDArray[np.int64]) -> None:
    if entry_ms is None or (entry_ms <= exit_ms).all():
        return
    row = int(np.argmax(entry_ms > exit_ms))
    raise Refused(
        f"row {row + 1:,} of {table.path} ends ({moment(exit_ms[row])}) before it begins ({moment(entry_ms[row])})",
        "repair that row; entry and exit times must be of one time zone",
    )


def _sides(table: _Table) -> NDArray[np.int8] | None:
    if "side" not in table:
        return None
    words = [str(word or "").lower() for word in table.text("side").to_pylist()]
    row = next((row for row, word in enumerate(words) if word not in _LONG | _SHORT), None)
    if row is not None:
        raise Refused(f"side is {words[row]!r} in row {row + 1:,} of {table.path}", "write long or short, buy or sell")
    return np.array([1 if word in _LONG else -1 for word in words], dtype=np.int8)


# money ----------------------------------------------------------------------------------------------------------------


def _money(
    table: _Table, order: NDArray[np.int64], capital: float, wants: str, unit: str | None, side: NDArray[np.int8] | None
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Currency and fraction of the equity of every trade, in `order`, and how they were read."""
    if wants == PNL and "pnl" not in table:
        raise Refused(
            f"{table.path} has no pnl column; its columns are {_listed(table.names)}",
            "scripts/tearsheet/generate_tearsheet.py derives pnl from a pct column; scripts/generate-tearsheet takes"
            " what there is",
        )
    if "pnl" in table and wants != PCT:
        pnl = _numbers(table, "pnl")[order]
        with np.errstate(all="ignore"):  # equity of 0, or beyond all numbers, is refused by who draws it
            before = capital + np.concatenate([[0.0], np.cumsum(pnl)[:-1]])
            net = pnl / before
        return pnl, net, (f"pnl is column {table.name('pnl')!r}, in currency",)
    if "pct" not in table and "pnl" in table:
        raise Refused(
            f"{table.path} has no pct column; its columns are {_listed(table.names)}",
            "scripts/tearsheet/strategy_tearsheet.py takes its pnl column",
        )
    if "pct" not in table:
        raise Refused(
            f"{table.path} has neither a pnl nor a pct column; its columns are {_listed(table.names)}",
            "call the result of each trade pnl (currency) or net_pnl_pct (0.012 is 1.2 %)",
        )
    raw = _numbers(table, "pct")
    told, how = (unit, "as you said") if unit else _unit_of(table, raw, side)
    net = (raw / 100 if told == PERCENT else raw)[order]
    if (net <= -1).any():
        row = int(np.flatnonzero((raw / 100 if told == PERCENT else raw) <= -1)[0])
        where = f"{table.name('pct')} is {raw[row]:g} in row {row + 1:,} of {table.path}"
        raise Refused(
            f"{where}: as a {told} that is a loss of everything, or more",
            "if the column holds percent (1.2 is 1.2 %), type --unit percent"
            if told == FRACTION
            else "repair that row",
        )
    with np.errstate(all="ignore"):
        pnl = capital * np.diff(np.cumprod(1 + net), prepend=1.0)
    example = "0.012 is 1.2 %" if told == FRACTION else "1.2 is 1.2 %"
    notes = [
        f"pnl is derived from column {table.name('pct')!r}, read as {told}s ({example}; {how}), all equity in each"
    ]
    notes[0] = notes[0].replace("percents", "percent")
    if table.name("pct").lower().startswith("gross"):
        notes.append("that column is before fees: so is everything here")
    return pnl, net, tuple(notes)


def _unit_of(table: _Table, raw: Floats, side: NDArray[np.int8] | None) -> tuple[str, str]:
    """By the move of the prices, where the file has them; else as our own files have it."""
    if "entry_price" in table and "exit_price" in table and side is not None:
        entry, exit_ = _numbers(table, "entry_price"), _numbers(table, "exit_price")
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = side * (exit_ / entry - 1)
        telling = np.isfinite(moved) & (np.abs(moved) > _PRICE_TOLERANCE / 4)
        if np.count_nonzero(telling) >= min(_GUESS_TRADES, len(raw)):
            factor = float(np.median(raw[telling] / moved[telling]))
            if 0.3 < factor < 3:
                return FRACTION, "as the prices say"
            if 30 < factor < 300:
                return PERCENT, "as the prices say"
    return FRACTION, "--unit percent if they are percent"


def _numbers(table: _Table, field: str) -> Floats:
    """A column without a hole."""
    name = table.name(field)
    column = table.columns.column(table.position[field])
    found = columns.numbers(column, name, table.path)
    if not np.isfinite(found).all():
        row = int(np.argmax(~np.isfinite(found)))
        raise Refused(
            f"{name} is empty or not finite in row {row + 1:,} of {table.path}", "give a number, or leave the trade out"
        )
    return found


def _optional(table: _Table, field: str) -> Floats | None:
    return _numbers(table, field) if field in table else None
