"""Where a symbol's bars lie: the one file of a folder whose name says so, in the layouts that people have."""

import os
import re
from pathlib import Path

from config.errors import Refused
from WORKFLOW.data.bars import BASE_MINUTES

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".feather", ".json", ".json.gz")
FORMATS = "CSV, CSV.gz, Parquet, Feather or JSON"
FUTURES = "futures"  # where freqtrade keeps the bars of contracts, beside those of the spot market
NO_TRADES = re.compile(r"-\d+\w+-(mark|index|premiumIndex|funding_rate)$")  # freqtrade's: prices nobody trades at
LISTED = 10
# What the name of a market may go on with after its symbol, besides a separator: what it is paid in.
QUOTES = ("USD", "BUSD", "FDUSD", "TUSD", "DAI", "EUR", "GBP", "TRY", "JPY", "KRW", "BRL", "BTC", "ETH", "BNB", "PERP")

# A symbol becomes a folder name in the results.
SYMBOL = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,40}")
TIMEFRAME = re.compile(r"[-_. ](\d+)(s|m|min|h|d|w|mo)(?=[-_. ]|$)", re.IGNORECASE)


def check_symbol(symbol: str) -> str:
    """The symbol as typed.

    Raises:
        Refused: it cannot be a folder name on every system.
    """
    if not SYMBOL.fullmatch(symbol):
        raise Refused(
            f"symbol {symbol!r} cannot name a results folder",
            "use 1 to 40 of the letters A-Z a-z 0-9 . _ - (not starting with a dot), for example SOL",
        )
    return symbol


def find(data_path: Path, symbol: str) -> Path:
    """The file that holds `symbol`: `data_path` itself, or the one file in that folder whose name starts with it.

    Case is ignored; names that carry another timeframe (`SOL_USDT-1h.feather`) are passed over, and so are JSON files
    that carry none. Where the folder itself holds none, its folder `futures` is looked into.

    Raises:
        Refused: an unfit symbol, nothing there, no candidate or more than one.
    """
    check_symbol(symbol)
    try:
        if data_path.is_dir():
            return _find_in(data_path, symbol)
        if not data_path.exists():
            raise Refused(f"there is nothing at {data_path}", "name a folder or a file that exists in --data-path")
        if not data_path.is_file():
            raise Refused(f"{data_path} is neither a folder nor a plain file", f"name a {FORMATS} file, or its folder")
    except OSError as error:
        raise Refused(
            f"cannot look at {data_path}: {error.strerror}", "check its permissions and its spelling"
        ) from error
    return data_path


def find_minutes(data_path: Path, symbol: str) -> Path | None:
    """The file of 1-minute bars that lies in the folder `data_path` beside the one `find` finds, or None.

    A file belongs to `symbol` as in `find`, and holds 1-minute bars when its name says so (`SOL_USDT-1m.feather`).
    Where several do, the one that is called as the 5-minute file but for the timeframe is meant.

    Raises:
        Refused: several, and none or more than one of them is called so.
    """
    if not data_path.is_dir():
        return None
    data_path = _home(data_path, symbol)
    names = [name for name in _named(data_path, symbol) if _is_minutes(name)]
    if len(names) > 1:
        beside = _before_timeframe(find(data_path, symbol).name)
        alike = [name for name in names if _before_timeframe(name) == beside]
        if len(alike) != 1:
            raise Refused(f"{len(names)} files in {data_path} hold those of {symbol!r}: {_listing(names)}", "keep one")
        names = alike
    return data_path / names[0] if names else None


def market_name(data_path: Path | None, symbol: str) -> str:
    """What the bars' file is called before its timeframe, capital letters and digits alone.

    The same however the symbol was typed, for freqtrade's `SOL_USDT-5m.feather` as for an exchange's `SOLUSDT_5m.csv`.
    `symbol` itself for demo bars, and where nothing but the timeframe is in the name.
    """
    if data_path is None:
        return symbol
    name = find(data_path, symbol).name
    kept = re.sub(r"[^A-Z0-9]+", "", _before_timeframe(name).upper())
    return kept or symbol


def looks_like_another(path: Path, symbol: str) -> bool:
    """Whether a file whose name starts with the symbol is called like another market: SOLO_USDT for SOL."""
    name, typed = _before_timeframe(path.name), symbol.lower()
    rest = re.match(r"[a-z]*", name.removeprefix(typed))
    assert rest is not None
    return name.startswith(typed) and bool(rest[0]) and not rest[0].upper().startswith(QUOTES)


def suffix_of(path: Path) -> str | None:
    """The one of `SUFFIXES` that a file's name ends in, case aside."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def _find_in(folder: Path, symbol: str) -> Path:
    folder = _home(folder, symbol)
    candidates = _candidates(folder, symbol)
    if len(candidates) == 1:
        return folder / candidates[0]
    if candidates:
        raise Refused(
            f"{len(candidates)} files in {folder} start with {symbol!r}: {_listing(candidates)}",
            "type more of the name as the symbol, or name the file itself in --data-path",
        )
    if named := _named(folder, symbol):
        raise Refused(
            f"the files of {symbol!r} in {folder} are of another timeframe: {_listing(named)}",
            f"add its {BASE_MINUTES}-minute bars; all other timeframes are made from them",
        )
    names = _files(folder)
    readable = [name for name in names if suffix_of(Path(name))]
    holds = f"it holds {_listing(readable or names)}" if names else "it holds no files"
    below = _below(folder, symbol)
    raise Refused(
        f"no {FORMATS} file in {folder} starts with {symbol!r}; {holds}",
        f"name the folder that does: {_listing(below)}"
        if below
        else "check the symbol, or name the file itself in --data-path",
    )


def _home(folder: Path, symbol: str) -> Path:
    """`folder`, or its `futures` where only that holds 5-minute bars of the symbol."""
    futures = folder / FUTURES
    if futures.is_dir() and not _candidates(folder, symbol) and _candidates(futures, symbol):
        return futures
    return folder


def _candidates(folder: Path, symbol: str) -> list[str]:
    return [name for name in _named(folder, symbol) if not _other_timeframe(name)]


def _below(folder: Path, symbol: str) -> list[str]:
    """Folders further down that hold the symbol: of freqtrade's user_data and of its data folder people name either."""
    inner = [path for pattern in ("*", "data/*") for path in sorted(folder.glob(pattern)) if path.is_dir()]
    open_ones = [path for path in inner if os.access(path, os.R_OK | os.X_OK)]
    return [str(path) for path in open_ones if _candidates(_home(path, symbol), symbol)]


def _files(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())


def _named(folder: Path, symbol: str) -> list[str]:
    return [name for name in _files(folder) if name.lower().startswith(symbol.lower()) and _may_hold_bars(name)]


def _may_hold_bars(name: str) -> bool:
    """By its name; JSON is everywhere, so it must say of which timeframe it is."""
    suffix = suffix_of(Path(name))
    if suffix is None or NO_TRADES.search(_stem(name)):
        return False
    return not suffix.startswith(".json") or bool(_timeframes(name))


def _listing(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _other_timeframe(name: str) -> bool:
    tokens = _timeframes(name)
    return bool(tokens) and not any(count == BASE_MINUTES and unit.lower() in {"m", "min"} for count, unit in tokens)


def _is_minutes(name: str) -> bool:
    """`1M` is a month: exchanges write it so."""
    return any(count == 1 and (unit == "m" or unit.lower() == "min") for count, unit in _timeframes(name))


def _timeframes(name: str) -> list[tuple[int, str]]:
    return [(int(count), unit) for count, unit in TIMEFRAME.findall(_stem(name))]


def _stem(name: str) -> str:
    return name[: -len(suffix_of(Path(name)) or "")]


def _before_timeframe(name: str) -> str:
    return TIMEFRAME.split(_stem(name), maxsplit=1)[0].lower()
