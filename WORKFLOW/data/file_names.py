"""Read a file's name: the market, the timeframe, the part among several, and the form of the file."""

import re
from collections import Counter
from collections.abc import Sequence

from config.errors import Refused
from WORKFLOW.data.bars import BASE_MINUTES
from WORKFLOW.data.forms.markets import QUOTES, letters
from WORKFLOW.data.forms.shown import listing

# The forms that are looked for first in a folder; the other forms count if none of these is there.
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".feather", ".json", ".json.gz")
_PACKED = (".gz", ".xz", ".zst", ".bz2", ".lz4", ".zip")
_PLAIN = (".csv", ".txt", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".pq", ".feather", ".arrow", ".ipc")
OTHERS = (*(one + packed for one in _PLAIN for packed in ("", *_PACKED)), ".zip")
FORMATS = "CSV, text, Parquet, Feather or JSON"
NO_TRADES = re.compile(r"-\d+\w+-(mark|index|premiumIndex|funding_rate)$")  # files of freqtrade without trade prices
TIMEFRAME = re.compile(r"[-_. ](\d+)(s|m|min|h|d|w|mo)(?=[-_. ]|$)", re.IGNORECASE)

_JSON = (".json", ".jsonl", ".ndjson")
_BINARY = (
    ((".parquet", ".pq"), "Parquet"),
    ((".feather", ".arrow", ".ipc"), "Feather"),
    ((".gz",), "gzip"),
    ((".zip",), "zip"),
    ((".xz",), "xz"),
    ((".zst",), "zstd"),
    ((".bz2",), "bzip2"),
    ((".lz4",), "lz4"),
)
_NO_BARS = {
    ".xlsx": "an Excel workbook",
    ".xls": "an Excel workbook",
    ".ods": "a spreadsheet",
    ".pkl": "a Python pickle",
    ".h5": "an HDF5 file",
    ".hdf": "an HDF5 file",
    ".db": "a database",
    ".sqlite": "a database",
    ".scid": "a Sierra Chart data file",
    ".hst": "a MetaTrader history file",
    ".fxt": "a MetaTrader tester file",
    ".bi5": "a Dukascopy tick file",
}
# Timeframes as charting programs and exchanges write them, without a unit or with the unit before the number.
_BARE = re.compile(r"(?:, |[-_])(\d{1,4})(?= ?(?:\(\d+\)|_[0-9a-f]{5})?$|[-_, ]|$)")
_METATRADER = re.compile(r"(?:[-_ ,.]|(?<=[A-Z]))(M1|M5|M15|M30|H1|H4|D1|W1|MN1?)(?=[-_ ,.]|$)", re.IGNORECASE)
_GLUED = re.compile(r"(?<=[A-Za-z])(1|5|15|30|60|240|1440|10080|43200)$")
_WEAK_MINUTES = {1, 2, 3, 5, 10, 15, 30, 45, 60, 120, 180, 240, 360, 480, 720, 1440, 10080, 43200}
_OF_METATRADER = {"M1": 1, "M5": 5, "M15": 15, "M30": 30, "H1": 60, "H4": 240, "D1": 1440, "W1": 10080}
_OF_METATRADER |= {"MN": 43200, "MN1": 43200}
# Dates and numbers that name one part among several.
_YEAR, _MONTH, _DAY = r"(?:19|20)\d{2}", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_PART = re.compile(
    rf"(?<![A-Za-z0-9])(?:{_YEAR}[-_.]?{_MONTH}[-_.]?{_DAY}(?:[-_T]?\d{{4,6}})?|{_DAY}[-_.]{_MONTH}[-_.]{_YEAR}"
    rf"|{_YEAR}[-_.]?{_MONTH}|{_YEAR}[-_. ]?[QH][1-4]|[QH][1-4][-_. ]?{_YEAR}|{_YEAR}"
    r"|part[-_ ]?\d+|\(\d+\))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
# Words before a market's name: venues as TradingView and CryptoDataDownload write them, and HistData's layouts.
_VENUES = (
    *(
        "BINANCE",
        "BINANCEUS",
        "BITSTAMP",
        "COINBASE",
        "KRAKEN",
        "BYBIT",
        "OKX",
        "OKEX",
        "KUCOIN",
        "GATEIO",
        "GATE",
        "MEXC",
    ),
    *(
        "BITGET",
        "BITFINEX",
        "GEMINI",
        "HUOBI",
        "HTX",
        "FTX",
        "DERIBIT",
        "BITMEX",
        "CRYPTO",
        "CRYPTOCAP",
        "INDEX",
        "UPBIT",
    ),
    *(
        "POLONIEX",
        "BITHUMB",
        "PHEMEX",
        "DYDX",
        "BITMART",
        "BINGX",
        "CRYPTOCOM",
        "NASDAQ",
        "NYSE",
        "AMEX",
        "ARCA",
        "BATS",
    ),
    *("CBOE", "CME", "CME_MINI", "CBOT", "COMEX", "NYMEX", "XETR", "LSE", "EURONEXT", "TSX", "ASX", "TVC", "SP", "DJ"),
    *(
        "FX",
        "FX_IDC",
        "OANDA",
        "FOREXCOM",
        "FXCM",
        "PEPPERSTONE",
        "CAPITALCOM",
        "EIGHTCAP",
        "SAXO",
        "ICMARKETS",
        "FXOPEN",
    ),
    *("BLACKBULL", "VANTAGE", "DUKASCOPY", "DAT_ASCII", "DAT_MT", "DAT_NT", "DAT_XLSX", "DAT_MS"),
)
_VENUE = re.compile(rf"(?:{'|'.join(sorted(_VENUES, key=len, reverse=True))})[-_: ]+", re.IGNORECASE)
_CHART = re.compile(r"[A-Za-z0-9]+_(?=[^,]+, )")  # TradingView writes VENUE_MARKET, TIMEFRAME


def suffix_of(name: str) -> str | None:
    """Return the ending of a file's name that tells its form, in lower case; None if the name tells none."""
    found = [suffix for suffix in (*SUFFIXES, *OTHERS) if name.lower().endswith(suffix)]
    return max(found, key=len) if found else None


def refuse_other_kind(label: str, name: str) -> None:
    """Refuse a file whose name shows that it is no text, before its bytes are read as text."""
    ending = name[name.rfind(".") :].lower() if "." in name else ""
    if ending in _NO_BARS:
        raise Refused(
            f"{label} is {_NO_BARS[ending]}, not a {FORMATS} file", "export its bars as CSV, with a header line"
        )


def binary_by_name(name: str) -> str | None:
    """Return the binary form that a file's name claims, or None."""
    lower = name.lower()
    return next((kind for endings, kind in _BINARY if lower.endswith(endings)), None)


def without_venue(name: str, symbol: str) -> str:
    """Remove a venue in front of the symbol from a name; any other name is returned unchanged."""
    for pattern in (_VENUE, _CHART):
        found = pattern.match(name)
        if found and name[found.end() :].lower().startswith(symbol.lower()):
            return name[found.end() :]
    return name


def chosen(names: Sequence[str], symbol: str, where: str = "") -> list[str]:
    """Return the names that hold the symbol's 5-minute bars: one file, or all parts of one; empty if there is none.

    Raises:
        Refused: the files belong to several markets or have several layouts.
    """
    found = candidates(names, symbol)
    first = [name for name in found if suffix_of(name) in SUFFIXES]
    if len(first) == 1 and not _part(first[0]):
        return first
    parts = found if first and all(_part(name) for name in first) else first or found
    keys = Counter(key_of(name, symbol) for name in parts)
    if len(keys) == 1 and sum(not _part(name) for name in parts) <= 1:
        return parts
    if len(parts) > 1:
        raise several(parts, symbol, where)
    return parts


def several(names: Sequence[str], symbol: str, where: str) -> Refused:
    """Return the refusal when several files could be meant; `where` says where they lie, beginning with a blank."""
    return Refused(
        f"{len(names)} files{where} start with {symbol!r}: {listing(names)}",
        "type more of the name as the symbol, or name the file itself in --data-path",
    )


def candidates(names: Sequence[str], symbol: str) -> list[str]:
    """Return the names that begin with the symbol, without those of other timeframes."""
    of_base = [name for name in named(names, symbol) if not _other_timeframe(name)]
    if len(of_base) < 2:
        return of_base
    weak = {name: _weak_minutes(name) for name in of_base}
    told = [name for name in of_base if weak[name] == BASE_MINUTES]
    return told or [name for name in of_base if weak[name] is None] or of_base


def named(names: Sequence[str], symbol: str) -> list[str]:
    """Return the names that start with the symbol or, if none does, with a venue and the symbol."""
    usable = [name for name in names if _may_hold_bars(name)]
    typed = symbol.lower()
    found = [name for name in usable if name.lower().startswith(typed)]
    return found or [name for name in usable if without_venue(name, symbol) != name]


def minutes_among(names: Sequence[str], symbol: str) -> list[str]:
    """Return the names that hold the symbol's 1-minute bars, by the timeframe in the name."""
    return [name for name in named(names, symbol) if _is_minutes(name)]


def key_of(name: str, symbol: str) -> str:
    """Return what the names of all parts of one file share: market and layout, without dates and part numbers."""
    return letters(_PART.sub("", _stem(without_venue(name, symbol)))) or letters(symbol)


def _part(name: str) -> str:
    """Return which part a file is: the dates and numbers in its name."""
    return " ".join(_PART.findall(_stem(name)))


def market_of(name: str, symbol: str) -> str:
    """Return a file's name before its timeframe, as capital letters and digits; `symbol` if nothing is left."""
    plain = without_venue(name, symbol)
    before = before_timeframe(plain)
    return letters(before.split(", ", maxsplit=1)[0] if plain != name else before) or symbol


def market_of_parts(names: Sequence[str], symbol: str) -> str:
    """Return the market of the parts of one file, without their dates and part numbers."""
    if len(names) == 1:
        return market_of(names[0], symbol)
    return letters(_PART.split(before_timeframe(without_venue(names[0], symbol)), maxsplit=1)[0]) or symbol


def looks_like_another(name: str, symbol: str) -> bool:
    """Return whether a file that starts with the symbol is named like another market, as SOLO_USDT is for SOL."""
    plain, typed = before_timeframe(without_venue(name, symbol)), symbol.lower()
    rest = re.match(r"[a-z]*", plain.removeprefix(typed))
    assert rest is not None
    return plain.startswith(typed) and bool(rest[0]) and not rest[0].upper().startswith(QUOTES)


def before_timeframe(name: str) -> str:
    """Return a name before its timeframe: `SOL_USDT-5m.feather` gives sol_usdt."""
    return TIMEFRAME.split(_stem(name), maxsplit=1)[0].lower()


def _may_hold_bars(name: str) -> bool:
    """Judge by its name whether a file may hold bars; a JSON file, as JSON is everywhere, must name its timeframe."""
    suffix = suffix_of(name)
    if suffix is None or NO_TRADES.search(_stem(name)):
        return False
    return not suffix.startswith(_JSON) or bool(_timeframes(name))


def _other_timeframe(name: str) -> bool:
    tokens = _timeframes(name)
    return bool(tokens) and not any(count == BASE_MINUTES and unit.lower() in {"m", "min"} for count, unit in tokens)


def _is_minutes(name: str) -> bool:
    """Return whether a name tells 1-minute bars; exchanges write `1M` for a month."""
    return any(count == 1 and (unit == "m" or unit.lower() == "min") for count, unit in _timeframes(name))


def _timeframes(name: str) -> list[tuple[int, str]]:
    return [(int(count), unit) for count, unit in TIMEFRAME.findall(_stem(name))]


def _weak_minutes(name: str) -> int | None:
    """Return a timeframe that only tells a market's files apart: `SOLUSD_M5`, `BINANCE_SOLUSDT, 5` and `SOL5`."""
    stem = _PART.sub("", _stem(name))
    if found := _METATRADER.search(stem):
        return _OF_METATRADER[found[1].upper()]
    bare = [int(number) for number in _BARE.findall(stem) if int(number) in _WEAK_MINUTES]
    if bare:
        return bare[-1]
    glued = _GLUED.search(stem)
    return int(glued[1]) if glued else None


def _stem(name: str) -> str:
    return name[: len(name) - len(suffix_of(name) or "")]
