"""Read numbers as countries and spreadsheets write them: decimal comma, thousands, K and M; whole columns decide."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from config.errors import Refused
from WORKFLOW.data.forms.arrays import is_text
from WORKFLOW.data.forms.shown import shown

_BLANKS = "[ \u00a0\u202f\u2009]"


@dataclass(frozen=True)
class _Style:
    """A style of writing numbers: the thousands separator and the decimal sign. `pattern` matches all its numbers."""

    thousands: str
    point: str
    called: str

    @property
    def pattern(self) -> str:
        point = re.escape(self.point)
        return rf"[-+]?(\d{{1,3}}({self.thousands}\d{{3}})+|\d+)?({point}\d*)?([eE][-+]?\d+)?"


_STYLES = (
    _Style(",", ".", "thousands separated by commas"),
    _Style(r"\.", ",", "a decimal comma"),
    _Style(_BLANKS, ",", "a decimal comma"),
    _Style(_BLANKS, ".", "thousands separated by blanks"),
    _Style("['\u2019]", ".", "thousands separated by apostrophes"),
    _Style("['\u2019]", ",", "a decimal comma"),
)
_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_WAY_OUT = "write prices as 1234.5: with a decimal point and no thousands separator"
_SIGNS = "[$€£¥₩₹₿]|USDT?|EUR|GBP"
_CURRENCY = f"^[-+]?(?:{_SIGNS}) ?|[ \u00a0]?(?:{_SIGNS}|%)$"


def as_plain(
    columns: Mapping[str, pa.ChunkedArray], file: str, separator: str
) -> tuple[dict[str, pa.ChunkedArray], tuple[str, ...]]:
    """Rewrite text columns as plain numbers, from the one style that fits all of them, and return notes on the style.

    Prices decide the style; the volume decides it if all prices are plain. Columns of numbers stay as they are. Texts
    stay as they are if no style reads all of them, and the parser then names the first value that is not a number.

    Raises:
        Refused: two styles read all of them with different results (1,234 everywhere).
    """
    text = {name: _cleaned(column) for name, column in columns.items() if is_text(column)}
    foreign = [name for name, column in text.items() if not _is_plain(column)]
    if not foreign:
        return {**columns, **text}, ()
    of_prices = [column for name, column in text.items() if name != "volume"]
    decides_volume = foreign == ["volume"]
    style = _style([_suffixed(text["volume"])[0]] if decides_volume else of_prices, file, separator)
    if style is None:
        return dict(columns), ()
    made = {
        name: _volume(column, style) if name == "volume" else _plain(column, style) for name, column in text.items()
    }
    said = () if decides_volume else (f"numbers are written with {style.called}",)
    return {**columns, **made}, (*said, *_about_volume(text.get("volume")))


def _style(deciding: Sequence[pa.ChunkedArray], file: str, separator: str) -> _Style | None:
    fitting = [style for style in _STYLES if all(_fits(column, style) for column in deciding)]
    by_point = {style.point: style for style in reversed(fitting)}
    if len(by_point) < 2 or all(_is_plain(column) for column in deciding):
        return fitting[0] if fitting else None
    if separator == ";":  # only countries with a decimal comma separate fields by semicolons
        return by_point[","]
    example = next(value for column in deciding for value in column.to_pylist() if value and "," in value)
    said = (
        f"the comma of {shown(example)!r} in {file} may separate thousands or decimals, and no other number shows which"
    )
    raise Refused(said, _WAY_OUT)


def _cleaned(column: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim(column.cast(pa.string()), " \t\u00a0\u202f\"'")
    return pc.replace_substring_regex(pc.replace_substring(trimmed, "\u2212", "-"), _CURRENCY, "")


def _is_plain(column: pa.ChunkedArray) -> bool:
    try:
        column.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _fits(column: pa.ChunkedArray, style: _Style) -> bool:
    found = pc.match_substring_regex(column, f"^(?:{style.pattern}|(?i:nan|null|))$")
    every: bool = pc.all(pc.fill_null(found, True)).as_py()
    return every


def _plain(column: pa.ChunkedArray, style: _Style) -> pa.ChunkedArray:
    without = pc.replace_substring_regex(column, style.thousands, "")
    made = pc.replace_substring(without, ",", ".") if style.point == "," else without
    return pc.if_else(pc.equal(made, ""), None, made)


def _volume(column: pa.ChunkedArray, style: _Style) -> pa.ChunkedArray:
    """Write volumes with K, M and B in full; a dash is a bar without trades."""
    number, suffix = _suffixed(column)
    styles = (style, *(one for one in _STYLES if one.point == style.point))
    fitting = next((one for one in styles if _fits(number, one)), None)
    if fitting is None:
        return column
    factors = pa.array([1.0, *_SUFFIXES.values()])
    at = pc.index_in(suffix, value_set=pa.array(["", *_SUFFIXES]))
    return pc.multiply(_plain(number, fitting).cast(pa.float64()), pc.take(factors, at))


def _suffixed(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return the number, and the letter after it."""
    text = pc.if_else(pc.equal(column, "-"), "0", pc.fill_null(column, ""))
    number = pc.replace_substring_regex(text, r"\s*[KMBTkmbt]$", "")
    suffix = pc.utf8_upper(pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(text), -1))
    return number, pc.if_else(pc.match_substring_regex(suffix, "^[KMBT]$"), suffix, "")


def _about_volume(column: pa.ChunkedArray | None) -> tuple[str, ...]:
    if column is None or not pc.any(pc.match_substring_regex(pc.fill_null(column, ""), r"[KMBTkmbt]$")).as_py():
        return ()
    return ("volumes are rounded in the file (1.23K is read as 1,230)",)
