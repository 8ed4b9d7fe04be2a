"""Read closed trades, one per row, by the names that most programs use, such as backtesting.py and vectorbt."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from config.errors import Refused
from WORKFLOW.report.tearsheet.sources import ledger
from WORKFLOW.report.tearsheet.sources.ledger import Column, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet, as_text, listed, plain_name

# Names are in order of preference, in lower case, with _ for spaces, dots and hyphens.
ALIASES: dict[str, tuple[str, ...]] = {
    "exit_time": (
        *("exit_time", "close_time", "close_date", "exit_date", "exittime", "closed_at", "exit_timestamp", "closetime"),
        *("dateout", "exit_datetime", "close_datetime", "closing_time", "time_close", "sell_date", "sell_time"),
        *("date_closed", "closed_time", "exit_date/time", "exit_candle_open_time"),
    ),
    "entry_time": (
        *(
            "entry_time",
            "open_time",
            "open_date",
            "entry_date",
            "entrytime",
            "opened_at",
            "entry_timestamp",
            "opentime",
        ),
        *("datein", "entry_datetime", "open_datetime", "opening_time", "time_open", "buy_date", "buy_time"),
        *("date_opened", "opened_time", "entry_date/time", "entry_candle_open_time"),
    ),
    "pnl": (
        *("pnl", "net_pnl", "profit_abs", "realized_pnl", "profit", "net_profit", "net_p&l", "p&l", "p/l", "p_l"),
        *("pnl_abs", "pnl_usd", "pnl_usdt", "profit/loss", "profit_loss", "net_profit/loss", "profit_usd"),
        *("profit_usdt", "realised_pnl", "realized_profit", "closed_p&l", "closed_pnl", "profit_(money)"),
    ),
    "pct": (
        *("net_pnl_pct", "return_pct", "returnpct", "profit_ratio", "pnl_pct", "profit_pct", "return", "gross_pnl_pct"),
        *("net_p&l_%", "net_pnl_%", "p&l_%", "pnl_%", "pnl%", "return_%", "return_(%)", "profit_%", "net_profit_%"),
        *("roi", "roi_%", "ret", "chg%"),
    ),
    "side": ("side", "direction", "is_short", "trade_side", "dir", "market_pos", "position_side", "trade_type", "type"),
    "entry_price": ("entry_price", "open_rate", "entryprice", "avg_entry_price", "open_price", "pricein", "buy_price"),
    "exit_price": ("exit_price", "close_rate", "exitprice", "avg_exit_price", "close_price", "priceout", "sell_price"),
    "mae": ("mae_pct", "mae%"),
    "mfe": ("mfe_pct", "mfe%"),
    "status": ("status", "trade_status", "is_open", "closed?"),
    "reason": ("reason_close", "exit_reason", "sell_reason", "close_reason", "exit_type", "exit_name", "exit_tag"),
}
# A file with one time and one result per row holds either trades by their exits, or the results of days.
DAY_NAMES = ("date", "day", "datetime", "timestamp", "time")
_NUMBERED = (
    *("trade_#", "trade_number", "trade_id", "trade", "trade_no", "#", "no", "nr", "number", "id"),
    *("ticket", "position", "position_id", "order", "ref"),
)
_OURS = {
    "bars",
    "reason_open",
    "gross_pnl_pct",
    "net_pnl_pct",
}  # columns of our own files that are ignored without a note
_FEES = {"commission", "commissions", "fee", "fees", "swap", "entry_fees", "exit_fees", "commission_usd", "funding_fee"}
_OPEN_WORDS = {
    "is_open": {"true": "open", "1": "open", "1.0": "open"},
    "closed?": {"open": "open", "no": "open", "false": "open"},
}
_PAIRED_FROM = 4  # rows in equal pairs, at least, before they count as pairs


def is_header(fields: Sequence[str]) -> bool:
    """Return whether these are names of columns of trades."""
    plain = {plain_name(field) for field in fields}
    return any(plain & set(ALIASES[name]) for name in ("exit_time",)) and any(
        plain & set(ALIASES[name]) for name in ("pnl", "pct")
    )


def read(sheet: Sheet, hints: Hints) -> TradeTable:
    """Read any sheet that has a column for the time of the exit.

    Raises:
        Refused: there is no such column, or there seem to be two rows for each trade.
    """
    position = {field: at for field, aliases in ALIASES.items() if (at := sheet.position(*aliases)) is not None}
    if "exit_time" not in position:
        raise _without_exits(sheet, position)
    status = position.get("status")
    if status is not None and sheet.plain[status] in _OPEN_WORDS:
        sheet = _with(sheet, status, _OPEN_WORDS[sheet.plain[status]], "closed")
    if "side" in position and sheet.plain[position["side"]] == "is_short":
        sheet = _with(sheet, position["side"], {"true": "short", "1": "short", "1.0": "short"}, "long")
    if "side" in position and not _are_sides(sheet, position["side"]):
        del position["side"]
    sheet, position, paired = _out_of_pairs(sheet, position, hints)
    found = ledger.of_sheet(sheet, position, unused=False)
    columns = {**found.columns, **_side_by_size(sheet, position)}
    notes = (*paired, *found.notes, *_ignored(sheet, position))
    in_percent = any("%" in found.name(name) for name in ("mae", "mfe") if name in found)
    percent = "%" in found.name("pct") or None if "pct" in found else None
    return TradeTable(
        sheet.path,
        columns,
        sheet.rows,
        is_percent=percent,
        excursions_in_percent=in_percent,
        notes=notes,
        names=sheet.names,
    )


def _without_exits(sheet: Sheet, position: dict[str, int]) -> Refused:
    plain = sheet.plain
    day = next((at for at, name in enumerate(plain) if name in DAY_NAMES), None)
    if day is not None and "pnl" in position:
        others = ["-"] * len(plain)
        as_trades, as_days = list(others), list(others)
        as_trades[day], as_trades[position["pnl"]] = "exit_time", "pnl"
        as_days[day], as_days[position["pnl"]] = "date", "daily_pnl"
        return Refused(
            f"{sheet.path} has {sheet.names[day]!r} and {sheet.names[position['pnl']]!r}: each row may be a closed"
            " trade, or what one day brought",
            f"type --columns {','.join(as_trades)} for trades, --columns {','.join(as_days)} for days",
        )
    known = ", ".join(ALIASES["exit_time"][1:6])
    return Refused(
        f"{sheet.path} has no column for the time of the exit; its columns are {listed(sheet.names)}",
        f"give it a header line in which that column is called exit_time ({known} are known as well), or name all"
        f" {len(plain)} columns with --columns, - for what is not to be read",
    )


def _are_sides(sheet: Sheet, at: int) -> bool:
    """Return whether a column holds sides, because a column called type may hold anything."""
    if plain_name(sheet.names[at]) not in ("type", "trade_type"):
        return True
    return all(word.lower() in ("long", "short", "buy", "sell") for word in sheet.words(at))


def _with(sheet: Sheet, at: int, known: dict[str, str], otherwise: str) -> Sheet:
    """Write a column in the words that all programs share."""
    words = as_text(known.get(word.lower(), otherwise) for word in sheet.words(at))
    return replace(sheet, columns=(*sheet.columns[:at], words, *sheet.columns[at + 1 :]))


def _side_by_size(sheet: Sheet, position: dict[str, int]) -> dict[str, Column]:
    """Return the side by the sign of the size, as backtesting.py tells it."""
    at = sheet.position("size")
    if "side" in position or at is None or sheet.position("entrybar") is None:
        return {}
    sides = ["short" if word.startswith("-") else "long" for word in sheet.words(at)]
    return {"side": Column(sheet.names[at], as_text(sides))}


def _ignored(sheet: Sheet, position: dict[str, int]) -> tuple[str, ...]:
    """Return notes on ignored columns: unknown ones, and those that another column was preferred to."""
    read_ = set(position.values())
    left = [name for at, name in enumerate(sheet.names) if name and name != "-" and at not in read_]
    left = [name for name in left if plain_name(name) not in _OURS]
    notes = (f"columns not used: {listed(left)}",) if left else ()
    fees = [name for name in left if plain_name(name) in _FEES]
    if fees and "pnl" in position:
        said = f"{listed(fees)} are not taken off" if len(fees) > 1 else f"{listed(fees)} is not taken off"
        notes = (*notes, f"{said}: {sheet.names[position['pnl']]!r} is read as what is left after all costs")
    return notes


# two rows a trade -----------------------------------------------------------------------------------------------------


def _out_of_pairs(
    sheet: Sheet, position: dict[str, int], hints: Hints
) -> tuple[Sheet, dict[str, int], tuple[str, ...]]:
    """Make one row per trade out of an entry row and an exit row with one result, if a number pairs the rows.

    Raises:
        Refused: the results come in equal pairs, and nothing says which rows belong together.
    """
    if "entry_time" in position or len(sheet) < _PAIRED_FROM or len(sheet) % 2:
        return sheet, position, ()
    result = sheet.words(position["pnl"] if "pnl" in position else position.get("pct", position["exit_time"]))
    at = next((at for at, name in enumerate(sheet.plain) if name in _NUMBERED), None)
    if at is not None:
        pairs = _pairs(sheet.words(at), result)
        if pairs is not None:
            return _joined(sheet, position, pairs, sheet.names[at], hints)
    elif _in_equal_pairs(result):
        raise Refused(
            f"every result in {sheet.path} stands in two rows, one below the other: they look like the entry and the"
            " exit of one trade, and each trade would count twice",
            "keep the rows of the exits alone, or export the list with its column for the trade's number",
        )
    return sheet, position, ()


def _pairs(numbers: list[str], result: list[str]) -> list[tuple[int, int]] | None:
    """Return the two rows of each number, if every number stands in two rows with one result; otherwise None."""
    of: dict[str, list[int]] = {}
    for at, number in enumerate(numbers):
        of.setdefault(number, []).append(at)
    is_paired = all(len(rows) == 2 and result[rows[0]] == result[rows[1]] for rows in of.values())
    return [(rows[0], rows[1]) for rows in of.values()] if is_paired else None


def _in_equal_pairs(result: list[str]) -> bool:
    pairs = list(zip(result[::2], result[1::2], strict=True))
    return len({one for one, _ in pairs}) > 2 and all(one == other for one, other in pairs)


def _joined(
    sheet: Sheet, position: dict[str, int], pairs: list[tuple[int, int]], name: str, hints: Hints
) -> tuple[Sheet, dict[str, int], tuple[str, ...]]:
    """Return the exit rows, with the time of their entry rows beside them."""
    from WORKFLOW.report.tearsheet.sources import moments

    times = moments.of(ledger.of_sheet(sheet, {"exit_time": position["exit_time"]}), "exit_time", hints).ms
    exits = [one if times[one] > times[other] else other for one, other in pairs]
    entries = [other if chosen == one else one for chosen, (one, other) in zip(exits, pairs, strict=True)]
    entered = sheet.columns[position["exit_time"]].take(np.array(entries))
    taken = sheet.taken(exits)
    made = Sheet(taken.path, (*taken.names, "time of the entry"), (*taken.columns, entered), taken.rows, taken.notes)
    note = f"each {name!r} stands in two rows with one result: taken as entry and exit of one trade"
    return made, {**position, "entry_time": len(made.names) - 1}, (note,)
