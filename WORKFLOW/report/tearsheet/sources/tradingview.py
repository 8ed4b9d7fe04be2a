"""Read TradingView's list of trades of every version so far: two rows per trade, each with the result of both."""

import re
from collections.abc import Sequence

from config.errors import Refused
from WORKFLOW.report.tearsheet.sources.amounts import of as amounts_of
from WORKFLOW.report.tearsheet.sources.ledger import Capital, Column, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet, as_text, listed, plain_name, shown

_ENTRY = re.compile(r"\b(entry|einstieg|entrada|entrée|entrata)\b", re.I)
_EXIT = re.compile(r"\b(exit|ausstieg|salida|saída|sortie|uscita|margin call)\b", re.I)
_SHORT = re.compile(r"\b(short|corto|curto|venda|courte?|verkauf)\b", re.I)
_NUMBER = re.compile(r"^(trade(_#|_number|_no|_nr)?|#|number)$")
_KIND = re.compile(r"^(type|typ|tipo)$")
_TIME = re.compile(
    r"^(date/time|date_and_time|date_time|datetime|date|time|datum_und_uhrzeit|fecha_y_hora|data_e_hora|date_et_heure"
    r"|exit_time|entry_time|close_time|exit_date)$"
)
_MONEY = r"(_[a-z]{2,6})?"
_PNL = re.compile(rf"^(net_p&l|net_pnl|p&l|pnl|profit|net_profit|g&v_netto){_MONEY}$")
_PCT = re.compile(r"^(net_p&l|net_pnl|p&l|pnl|profit|return|g&v_netto)(_%|_pct)$")
_TOTAL = re.compile(rf"^(cumulative|cum)_(p&l|pnl|profit){_MONEY}$|^kumulative[rs]?_g&v{_MONEY}$")
_TOTAL_PCT = re.compile(r"^(cumulative|cum)_(p&l|pnl|profit)_%$|^kumulative[rs]?_g&v_%$")
_FOR = re.compile(r"^(run_up|favorable_excursion|positive_exkursion)_%$")
_AGAINST = re.compile(r"^(drawdown|adverse_excursion|negative_exkursion)_%$")
_PRICE = re.compile(rf"^(price|preis){_MONEY}$")


def is_header(fields: Sequence[str]) -> bool:
    """Return whether these are columns of TradingView's list of trades."""
    plain = [plain_name(field) for field in fields]
    return all(any(form.match(name) for name in plain) for form in (_NUMBER, _KIND, _TIME))


def read(sheet: Sheet, hints: Hints) -> TradeTable | None:
    """Return the trades; None if the sheet is another kind of list.

    Raises:
        Refused: rows are entries and exits without a number that pairs them, or a trade has several of either.
    """
    kind = _column(sheet, _KIND)
    words = sheet.words(kind) if kind is not None else []
    if not words or not all(_ENTRY.search(word) or _EXIT.search(word) for word in words):
        return None
    number, time = _column(sheet, _NUMBER), _column(sheet, _TIME)
    if number is None or time is None:
        what = "column for the trade's number" if number is None else "column for the time"
        raise Refused(
            f"{sheet.path} has a row for each entry and exit, and no {what}; its columns are {listed(sheet.names)}",
            "export it again with all of its columns (Trade #, Type, Date/Time, …)",
        )
    entries, exits = _rows(sheet, number, words)
    closed = [trade for trade in exits if trade in entries]
    return _ledger(sheet, hints, {trade: (entries[trade], exits[trade]) for trade in closed}, entries, words, time)


def _column(sheet: Sheet, form: re.Pattern[str]) -> int | None:
    return next((at for at, name in enumerate(sheet.plain) if form.match(name)), None)


def _rows(sheet: Sheet, number: int, words: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the row of each trade's entry, and the row of its exit."""
    entries: dict[str, int] = {}
    exits: dict[str, int] = {}
    for at, (trade, word) in enumerate(zip(sheet.words(number), words, strict=True)):
        side = exits if _EXIT.search(word) else entries
        if trade in side:
            raise Refused(
                f"trade {shown(trade)} has {word!r} in row {sheet.rows[side[trade]]:,} of {sheet.path} and again in row"
                f" {sheet.rows[at]:,}",
                "a trade has one entry and one exit: take out what was pasted twice, or give a file of each strategy",
            )
        side[trade] = at
    without = [trade for trade in exits if trade not in entries]
    if without:
        raise Refused(
            f"trade {shown(without[0])} of {sheet.path} has an exit (row {sheet.rows[exits[without[0]]]:,})"
            " and no entry",
            "export the whole list again",
        )
    return entries, exits


def _ledger(
    sheet: Sheet,
    hints: Hints,
    closed: dict[str, tuple[int, int]],
    entries: dict[str, int],
    words: list[str],
    time: int,
) -> TradeTable:
    """Return closed trades, and open trades, which have no exit."""
    pairs = [*closed.values(), *((entry, entry) for trade, entry in entries.items() if trade not in closed)]
    ins, outs = sheet.taken([entry for entry, _ in pairs]), sheet.taken([exit_ for _, exit_ in pairs])
    signal = _column(sheet, re.compile(r"^signal$"))
    signals = outs.words(signal) if signal is not None else ["" for _ in pairs]
    times = outs.words(time)
    is_open = [
        entry == exit_ or not when or said.lower() == "open"
        for (entry, exit_), when, said in zip(pairs, times, signals, strict=True)
    ]
    columns = {
        "exit_time": Column(sheet.names[time], as_text(times)),
        "entry_time": Column(sheet.names[time], ins.columns[time]),
        "side": Column("Type", as_text(["short" if _SHORT.search(words[exit_]) else "long" for _, exit_ in pairs])),
        "status": Column("Signal", as_text(["open" if one else "closed" for one in is_open])),
    }
    if signal is not None:
        columns["reason"] = Column(sheet.names[signal], as_text(signals))
    for field, form, rows in (
        ("pnl", _PNL, outs),
        ("pct", _PCT, outs),
        ("mae", _AGAINST, outs),
        ("mfe", _FOR, outs),
        ("entry_price", _PRICE, ins),
        ("exit_price", _PRICE, outs),
    ):
        at = _column(sheet, form)
        if at is not None:
            columns[field] = Column(sheet.names[at], rows.columns[at])
    note = f"TradingView's list of trades: {len(sheet):,} rows are {len(pairs):,} trades, each an entry and an exit"
    return TradeTable(
        sheet.path,
        columns,
        outs.rows,
        is_percent=True,
        excursions_in_percent=True,
        capital=_capital(outs, hints),
        notes=(*sheet.notes, note),
    )


def _capital(outs: Sheet, hints: Hints) -> Capital | None:
    """Return the capital behind the cumulative columns: the roundest amount that all rows allow.

    A percentage of two decimals allows total / (pct ± 0.005), so rows with a large percentage narrow the range.
    """
    money, share = _column(outs, _TOTAL), _column(outs, _TOTAL_PCT)
    if money is None or share is None:
        return None
    columns = {
        "pnl": Column(outs.names[money], outs.columns[money]),
        "pct": Column(outs.names[share], outs.columns[share]),
    }
    try:
        read_ = amounts_of(TradeTable(outs.path, columns, outs.rows), hints.decimal)
    except Refused:
        return None
    low, high = 0.0, float("inf")
    for total, pct in zip(read_["pnl"].values.tolist(), read_["pct"].values.tolist(), strict=True):
        if abs(pct) < 0.1 or total * pct <= 0:
            continue
        low = max(low, 100 * (abs(total) - 0.005) / (abs(pct) + 0.005))
        high = min(high, 100 * (abs(total) + 0.005) / (abs(pct) - 0.005))
    amount = _roundest(low, high)
    return None if amount is None else Capital(amount, "as its cumulative columns say")


def _roundest(low: float, high: float) -> float | None:
    """Return the number with the fewest digits between two numbers; None if it would need more than three digits."""
    if not 0 < low <= high < float("inf"):
        return None
    for digits in (1, 2, 3):
        text = f"{(low + high) / 2:.{digits - 1}e}"
        if low <= float(text) <= high:
            return float(text)
    return None
