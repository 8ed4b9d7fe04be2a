"""Read trades or a curve from a file of any program, by the rules of its source; notes name every assumption."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused
from WORKFLOW.data.bars import Floats
from WORKFLOW.report.tearsheet.curves import moment
from WORKFLOW.report.tearsheet.sources import amounts, moments, recognise
from WORKFLOW.report.tearsheet.sources.curve import Curve
from WORKFLOW.report.tearsheet.sources.ledger import Capital, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import listed
from WORKFLOW.report.tearsheet.trading import Trades

PNL, PCT, EITHER = "pnl", "pct", "either"
FRACTION, PERCENT = "fraction", "percent"
ASSUMED_CAPITAL = 10_000.0  # the default of costs.capital, for files without a capital of their own
NOTHING_OF_IT = 1e-5  # fraction of the assumed capital; if the largest result is smaller, the capital was another

_LONG = {"long", "buy", "1", "1.0", "+1", "false", "buy to open", "bot", "b"}
_SHORT = {"short", "sell", "-1", "-1.0", "true", "sell short", "sellshort", "short sell", "sell to open", "s"}
_PRICE_TOLERANCE = 0.02  # of a result, for fees; percent and fractions differ by a factor of 100
_GUESS_TRADES = 5  # trades with a clear result that are needed to tell percent from fractions
_COINS = ("BTC", "XBT", "ETH", "BNB", "₿")  # coins of which nobody has 10,000


@dataclass(frozen=True)
class TradesFile:
    """Either trades sorted by exit or a curve, the capital they began with, and notes on what was assumed."""

    trades: Trades | None
    curve: Curve | None
    capital: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Money:
    pnl: Floats
    net: Floats
    capital: float
    notes: tuple[str, ...]


def read(
    path: Path,
    capital: float | None,
    wants: str = EITHER,
    unit: str | None = None,
    hints: Hints | None = None,
    assumed: float = ASSUMED_CAPITAL,
) -> TradesFile:
    """Read the closed trades of a file, or its daily returns or equity.

    `capital` is what the user said. None takes what the file says, or else `assumed`. `wants` decides about the result:
    `PNL` needs a column of currency; `PCT` derives it from a column of percent or fractions, with all equity in every
    trade; `EITHER` takes pnl if there is such a column. `unit` says what a pct column holds. With None, prices tell;
    without prices, the column holds fractions, as in our own files.

    Raises:
        Refused: a needed column is missing, or a value is invalid; the message names column, row and value.
    """
    hints = hints or Hints()
    found = recognise.read(path, hints, unit)
    if isinstance(found, Curve):
        return _curve(path, found, Capital(capital, "") if capital else None, assumed, wants)
    ledger, closed_notes = _closed(found)
    exits, entries = _times(ledger, hints)
    exit_ms, entry_ms = exits.ms, None if entries is None else entries.ms
    _in_order(ledger, entry_ms, exit_ms)
    order = np.argsort(exit_ms, kind="stable")
    sorting = () if (np.diff(exit_ms) >= 0).all() else ("rows were not in the order of their exits: sorted",)
    side, numbers = _sides(ledger), amounts.of(ledger, hints.decimal)
    mae, mfe = (_excursion(ledger, numbers, name) for name in ("mae", "mfe"))
    money = _money(ledger, numbers, order, capital, wants, unit, side, assumed)
    reasons = None
    if "reason" in ledger:
        words = [word or "unknown" for word in ledger.words("reason")]
        reasons = tuple(words[at] for at in order.tolist())
    trades = Trades(
        exit_ms=exit_ms[order],
        pnl=money.pnl,
        net=money.net,
        entry_ms=None if entry_ms is None else entry_ms[order],
        side=None if side is None else side[order],
        mae=None if mae is None else mae[order],
        mfe=None if mfe is None else mfe[order],
        reasons=reasons,
    )
    times = dict.fromkeys((*exits.notes, *(entries.notes if entries else ())))
    return TradesFile(
        trades,
        None,
        money.capital,
        tuple(dict.fromkeys((*money.notes, *times, *closed_notes, *sorting, *ledger.notes))),
    )


def _curve(path: Path, found: Curve, capital: Capital | None, assumed: float, wants: str) -> TradesFile:
    if wants != EITHER:
        raise Refused(
            f"{path} is a curve of {found.kind}, and no list of trades", "scripts/generate-tearsheet draws it"
        )
    if found.kind == "equity":
        return TradesFile(
            None, found, float(found.values[0]), (f"equity begins with {found.values[0]:,.6g}", *found.notes)
        )
    amount = capital.amount if capital else assumed
    note = () if capital or found.kind == "returns" else (_assumption(amount),)
    return TradesFile(None, found, amount, (*note, *found.notes))


def _closed(ledger: TradeTable) -> tuple[TradeTable, tuple[str, ...]]:
    """Leave out the trades that are still open: they have no exit time, or their status says so."""
    closed = np.array([bool(word) and word not in ("0", "-") for word in ledger.words("exit_time")])
    if "status" in ledger:
        closed &= np.array([word.lower() != "open" for word in ledger.words("status")])
    still_open = len(closed) - int(np.count_nonzero(closed))
    if not still_open:
        return ledger, ()
    if still_open == len(closed):
        raise Refused(f"none of the {len(closed):,} trades in {ledger.path} is closed", "give trades with an exit time")
    many = "1 trade is" if still_open == 1 else f"{still_open:,} trades are"
    note = f"{many} still open (no exit time, or status open): left out"
    return ledger.taken(np.flatnonzero(closed)), (note,)


# times and sides ------------------------------------------------------------------------------------------------------


def _times(ledger: TradeTable, hints: Hints) -> tuple[moments.MomentColumn, moments.MomentColumn | None]:
    exits = moments.of(ledger, "exit_time", hints)
    entries = moments.of(ledger, "entry_time", hints) if "entry_time" in ledger else None
    if entries is not None:
        _same_zone(ledger, exits, entries)
    return exits, entries


def _same_zone(ledger: TradeTable, exits: moments.MomentColumn, entries: moments.MomentColumn) -> None:
    """Refuse entries without a zone beside exits with one, because both would be hours apart; numbers have no zone."""
    if exits.is_bare == entries.is_bare or any(_is_epoch(ledger, field) for field in ("exit_time", "entry_time")):
        return
    one, other = (ledger.name(field) for field in ("exit_time", "entry_time"))
    bare, zoned = (one, other) if exits.is_bare else (other, one)
    raise Refused(
        f"{zoned} of {ledger.path} has a time zone and {bare} has none",
        "write both with a zone, or both without (then they are UTC, or of --timezone)",
    )


def _is_epoch(ledger: TradeTable, field: str) -> bool:
    return str(ledger.text(field)[0].as_py()).replace(".", "", 1).isdecimal()


def _in_order(ledger: TradeTable, entry_ms: NDArray[np.int64] | None, exit_ms: NDArray[np.int64]) -> None:
    if entry_ms is None or (entry_ms <= exit_ms).all():
        return
    row = int(np.argmax(entry_ms > exit_ms))
    raise Refused(
        f"{ledger.where(row)} ends ({moment(exit_ms[row])}) before it begins ({moment(entry_ms[row])})",
        "repair that row; entry and exit times must be of one time zone",
    )


def _sides(ledger: TradeTable) -> NDArray[np.int8] | None:
    if "side" not in ledger:
        return None
    words = [word.lower() for word in ledger.words("side")]
    row = next((row for row, word in enumerate(words) if word not in _LONG | _SHORT), None)
    if row is not None:
        raise Refused(f"side is {words[row]!r} in {ledger.where(row)}", "write long or short, buy or sell")
    return np.array([1 if word in _LONG else -1 for word in words], dtype=np.int8)


def _excursion(ledger: TradeTable, numbers: dict[str, amounts.AmountColumn], name: str) -> Floats | None:
    """Return an excursion as a fraction of the entry price: MAE is 0 or less and MFE 0 or more, whatever the sign."""
    if name not in numbers:
        return None
    values = _whole(ledger, numbers, name)
    if not ledger.excursions_in_percent:
        return values
    return (-np.abs(values) if name == "mae" else np.abs(values)) / 100


# money ----------------------------------------------------------------------------------------------------------------


def _money(
    ledger: TradeTable,
    numbers: dict[str, amounts.AmountColumn],
    order: NDArray[np.int64],
    capital: float | None,
    wants: str,
    unit: str | None,
    side: NDArray[np.int8] | None,
    assumed: float,
) -> _Money:
    """Return currency and fraction of the equity of every trade, in `order`, and notes on how they were read."""
    in_percent = "pnl" in numbers and numbers["pnl"].is_percent  # for example a column called profit with 1.2%
    if in_percent and "pct" not in numbers:
        numbers = {**numbers, "pct": numbers["pnl"]}
        ledger = _with_pct(ledger)
    has_pnl = "pnl" in numbers and not in_percent
    _has_what_is_wanted(ledger, wants, has_pnl, "pct" in numbers)
    if has_pnl and wants != PCT:
        return _of_pnl(ledger, numbers, order, capital, assumed)
    return _of_pct(ledger, numbers, order, capital or _own(ledger, assumed), unit, side)


def _with_pct(ledger: TradeTable) -> TradeTable:
    """Use the column of results as a column of percent."""
    columns = {**ledger.columns, "pct": ledger.columns["pnl"]}
    return replace(ledger, columns=columns)


def _own(ledger: TradeTable, assumed: float) -> float:
    return ledger.capital.amount if ledger.capital else assumed


def _has_what_is_wanted(ledger: TradeTable, wants: str, has_pnl: bool, has_pct: bool) -> None:
    names = listed(ledger.names or [column.name for column in ledger.columns.values()])
    if wants == PNL and not has_pnl:
        raise Refused(
            f"{ledger.path} has no pnl column; its columns are {names}",
            "scripts/tearsheet/generate_tearsheet.py derives pnl from a pct column; scripts/generate-tearsheet takes"
            " what there is",
        )
    if wants == PCT and has_pnl and not has_pct:
        raise Refused(
            f"{ledger.path} has no pct column; its columns are {names}",
            "scripts/tearsheet/strategy_tearsheet.py takes its pnl column",
        )
    if not has_pnl and not has_pct:
        raise Refused(
            f"{ledger.path} has neither a pnl nor a pct column; its columns are {names}",
            "call the result of each trade pnl (currency) or net_pnl_pct (0.012 is 1.2 %), in the header line or with"
            " --columns",
        )


def _of_pnl(
    ledger: TradeTable,
    numbers: dict[str, amounts.AmountColumn],
    order: NDArray[np.int64],
    said: float | None,
    assumed: float,
) -> _Money:
    total = _whole(ledger, numbers, "pnl")
    for name, sign in ledger.costs.items():
        total = total + sign * (
            np.nan_to_num(numbers[name].values) if sign > 0 else np.abs(np.nan_to_num(numbers[name].values))
        )
    pnl = total[order]
    capital, note = _capital(ledger, float(np.abs(pnl).max()), numbers["pnl"].currency, said, assumed)
    with np.errstate(all="ignore"):  # the document refuses equity of 0 and equity beyond all numbers
        net = pnl / (capital + np.concatenate([[0.0], np.cumsum(pnl)[:-1]]))
    costs = " and costs" if ledger.costs else ""
    return _Money(pnl, net, capital, (*note, f"pnl is column {ledger.name('pnl')!r}{costs}, in currency"))


def _capital(
    ledger: TradeTable, largest: float, currency: str, said: float | None, assumed: float
) -> tuple[float, tuple[str, ...]]:
    """Return the capital that the user said, or else the file, or else the assumed capital if that is plausible.

    Raises:
        Refused: the results are tiny beside the assumed capital, or are in a coin.
    """
    if said is not None:
        return said, ()
    if ledger.capital is not None:
        return ledger.capital.amount, (f"capital {ledger.capital.amount:,.8g} {ledger.capital.words}",)
    coin = currency or ledger.name("pnl").upper().rpartition(" ")[2]
    if 0 < largest < NOTHING_OF_IT * assumed or coin in _COINS:
        what = f"{largest:.6g}{f' {coin}' if coin in _COINS else ''}"
        raise Refused(
            f"the largest result in {ledger.path} is {what}: these trades were not made with the capital of"
            f" {assumed:,.6g} that is assumed when none is given",
            "type --capital C, the capital they began with, in the currency of their results",
        )
    return assumed, (_assumption(assumed),)


def _assumption(capital: float) -> str:
    said = f"capital {capital:,.8g} is assumed, since none was given"
    return f"{said}: all percentages depend on it (--capital sets another)"


def _of_pct(
    ledger: TradeTable,
    numbers: dict[str, amounts.AmountColumn],
    order: NDArray[np.int64],
    capital: float,
    unit: str | None,
    side: NDArray[np.int8] | None,
) -> _Money:
    raw = _whole(ledger, numbers, "pct")
    told, how = (unit, "as you said") if unit else _unit_of(ledger, numbers, raw, side)
    fractions = raw / 100 if told == PERCENT else raw
    if (fractions <= -1).any():
        row = int(np.flatnonzero(fractions <= -1)[0])
        where = f"{ledger.name('pct')} is {raw[row]:g} in {ledger.where(row)}"
        raise Refused(
            f"{where}: as a {told} that is a loss of everything, or more",
            "if the column holds percent (1.2 is 1.2 %), type --unit percent"
            if told == FRACTION
            else "repair that row, or give a column of pnl",
        )
    net = fractions[order]
    with np.errstate(all="ignore"):
        pnl = capital * np.diff(np.cumprod(1 + net), prepend=1.0)
    words = f"percent (1.2 is 1.2 %; {how})" if told == PERCENT else f"fractions (0.012 is 1.2 %; {how})"
    notes = [f"pnl is derived from column {ledger.name('pct')!r}, read as {words}, all equity in each"]
    if ledger.name("pct").lower().startswith("gross"):
        notes.append("that column is before fees: so is everything here")
    return _Money(pnl, net, capital, tuple(notes))


def _unit_of(
    ledger: TradeTable, numbers: dict[str, amounts.AmountColumn], raw: Floats, side: NDArray[np.int8] | None
) -> tuple[str, str]:
    """Tell percent from fractions by % signs, by the source, or by the prices; otherwise they are fractions."""
    if numbers["pct"].is_percent:
        return PERCENT, "as its % signs say"
    if ledger.is_percent is not None:
        return (PERCENT if ledger.is_percent else FRACTION), "as its source writes it"
    if "entry_price" in numbers and "exit_price" in numbers and side is not None:
        entry, exit_ = _whole(ledger, numbers, "entry_price"), _whole(ledger, numbers, "exit_price")
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


def _whole(ledger: TradeTable, numbers: dict[str, amounts.AmountColumn], name: str) -> Floats:
    """Return a column, and refuse missing values in it."""
    found = numbers[name].values
    if not np.isfinite(found).all():
        row = int(np.argmax(~np.isfinite(found)))
        raise Refused(
            f"{ledger.name(name)} is empty or not finite in {ledger.where(row)}",
            "give a number, or leave the trade out",
        )
    return found
