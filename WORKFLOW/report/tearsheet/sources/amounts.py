"""Read numbers as people and programs write them: brackets, currencies, percent signs, either decimal mark."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import Refused
from WORKFLOW.data.bars import Floats
from WORKFLOW.report.tearsheet.sources.ledger import NUMBERS, TradeTable

POINT, COMMA = "point", "comma"
_MARK = {POINT: ".", COMMA: ","}
_MINUS = str.maketrans(dict.fromkeys("−‐‑–﹣－", "-"))
_SPACES = re.compile(r"(?<=\d)[\s'’\u00a0\u2009\u202f](?=\d)")  # separators between groups of digits
_AMOUNT = re.compile(
    r"^(?P<open>\()?\s*(?P<sign>[+-]?)\s*(?P<before>[A-Za-z$€£¥₿₹₽]{0,6})\s*(?P<inner>[+-]?)\s*"
    r"(?P<digits>\d[\d.,]*|[.,]\d+)(?P<power>[eE][+-]?\d+)?\s*(?P<after>%|[A-Za-z$€£¥₿₹₽]{1,6})?\s*(?P<trailing>-?)"
    r"\s*(?P<close>\))?$"
)
_NOTHING = {"", "-", "n/a", "na", "nan", "null", "none"}


@dataclass(frozen=True)
class AmountColumn:
    """Values (n,) as float64, NaN where there is none; whether % signs make them percent; and their currency."""

    values: Floats
    is_percent: bool = False
    currency: str = ""


def of(ledger: TradeTable, decimal: str | None) -> dict[str, AmountColumn]:
    """Return every field of numbers; all fields together decide the decimal mark, unless the user named it.

    Raises:
        Refused: a value is not a number, marks or currencies contradict each other, or a mark is ambiguous.
    """
    fields = [name for name in NUMBERS if name in ledger]
    simple = {name: _simple(ledger, name) for name in fields}
    if decimal is None and all(values is not None for values in simple.values()):
        return {name: AmountColumn(values) for name, values in simple.items() if values is not None}
    mark = _MARK[decimal] if decimal else _decided(ledger, fields)
    return {name: _read(ledger, name, mark) for name in fields}


def _simple(ledger: TradeTable, name: str) -> Floats | None:
    """Read a field with Arrow; None if it holds anything but plain numbers."""
    try:
        plain = ledger.text(name).cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    plain = pc.fill_null(plain, float("nan"))
    return np.array(plain.to_numpy(), dtype=np.float64)


def _split(text: str) -> re.Match[str] | None:
    return _AMOUNT.match(_SPACES.sub("", text.translate(_MINUS)))


def _decided(ledger: TradeTable, fields: Sequence[str]) -> str:
    seen: dict[str, str] = {}  # mark → the value that shows it
    open_comma = ""
    for name in fields:
        for at, word in enumerate(ledger.words(name)):
            found = _split(word)
            shown = _shows(found["digits"]) if found else None
            if shown is not None:
                seen.setdefault(shown, f"{name_of(ledger, name)} is {word!r} in {ledger.where(at)}")
            elif found and "," in found["digits"]:
                open_comma = open_comma or f"{name_of(ledger, name)} is {word!r} in {ledger.where(at)}"
    if len(seen) == 2:
        raise Refused(
            f"{seen[',']}, which has a decimal comma, and {seen['.']}, which has a decimal point",
            "write all numbers of the file in one way",
        )
    if not seen and open_comma:
        raise Refused(
            f"{open_comma}, and nothing in the file says whether its comma separates thousands or decimals",
            f"type --decimal {POINT} if it separates thousands, --decimal {COMMA} if it separates decimals",
        )
    return next(iter(seen), ".")


def name_of(ledger: TradeTable, name: str) -> str:
    """Return the file's name for a field."""
    return ledger.name(name)


def _shows(digits: str) -> str | None:
    """Return the only decimal mark that a number can have; None without a mark, or if it may separate thousands."""
    marks = [letter for letter in digits if letter in ".,"]
    if len(set(marks)) == 2:
        return marks[-1]
    if not marks:
        return None
    other = "," if marks[0] == "." else "."
    whole, *groups = digits.split(marks[0])
    if len(groups) > 1:
        return other
    grouped = 1 <= len(whole) <= 3 and whole != "0" and len(groups[0]) == 3
    return None if grouped else marks[0]


def _read(ledger: TradeTable, name: str, mark: str) -> AmountColumn:
    values: list[float] = []
    signs: list[bool] = []
    currencies: dict[str, str] = {}
    for at, word in enumerate(ledger.words(name)):
        if word.translate(_MINUS).lower() in _NOTHING:
            values.append(float("nan"))
            continue
        found = _split(word)
        number = _number(found, mark) if found else None
        if found is None or number is None:
            raise Refused(
                f"{name_of(ledger, name)} is {word!r} in {ledger.where(at)}",
                "write a number such as 1234.5, -1,234.50, (1,234.50), $5 or 1.2%"
                if mark == "."
                else "write a number such as 1234,5, -1.234,50, (1.234,50), 5 € or 1,2%",
            )
        values.append(number)
        signs.append(found["after"] == "%")
        currency = (found["before"] + (found["after"] or "")).replace("%", "").upper()
        if currency:
            currencies.setdefault(currency, f"{word!r} in {ledger.where(at)}")
    if len(currencies) > 1:
        one, other = list(currencies.values())[:2]
        raise Refused(
            f"{name_of(ledger, name)} has several currencies: {one}, {other}",
            "convert them to one, or give a file of each",
        )
    if any(signs) and not all(signs):
        raise Refused(
            f"some values of {name_of(ledger, name)} in {ledger.path} have a % and some have none",
            "write it behind all of them, or behind none and type --unit percent",
        )
    return AmountColumn(np.array(values, dtype=np.float64), any(signs), next(iter(currencies), ""))


def _number(found: re.Match[str], mark: str) -> float | None:
    digits, other = found["digits"], "," if mark == "." else "."
    whole, _, decimals = digits.partition(mark)
    if other in decimals or mark in decimals:
        return None
    first, *groups = whole.split(other)
    if any(len(group) != 3 for group in groups) or (groups and not 1 <= len(first) <= 3):
        return None
    if bool(found["open"]) != bool(found["close"]):
        return None
    size = float(f"{first}{''.join(groups)}.{decimals or 0}{found['power'] or ''}")
    minuses = [found["sign"] == "-", found["inner"] == "-", found["trailing"] == "-", bool(found["open"])]
    return -size if any(minuses) else size
