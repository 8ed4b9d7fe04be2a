"""Find the file of a symbol's bars, or its parts, by name in a folder, in the layouts that people have."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from config.errors import Refused, Transient
from WORKFLOW.data.bars import BASE_MINUTES
from WORKFLOW.data.file_names import (
    FORMATS,
    before_timeframe,
    candidates,
    chosen,
    market_of_parts,
    minutes_among,
    named,
    refuse_other_kind,
    suffix_of,
)
from WORKFLOW.data.forms.shown import listing, shown

FUTURES = "futures"  # freqtrade's folder for the bars of contracts, beside those of the spot market
_MOST_FOLDERS = 500  # folders that are searched for a symbol that the named folder lacks
_DEPTH = 6  # levels of folders; data/spot/monthly/klines/SOLUSDT/5m is five below

# A symbol becomes a folder name in the results.
SYMBOL = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,40}")


def check_symbol(symbol: str) -> str:
    """Return the symbol as typed.

    Raises:
        Refused: the symbol cannot be a folder name on every system.
    """
    if not SYMBOL.fullmatch(symbol):
        raise Refused(
            f"symbol {symbol!r} cannot name a results folder",
            "use 1 to 40 of the letters A-Z a-z 0-9 . _ - (not starting with a dot), for example SOL",
        )
    return symbol


def find(data_path: Path, symbol: str) -> Path:
    """Return the file that holds `symbol`, or the first part by name; see `find_all`."""
    return find_all(data_path, symbol)[0]


def find_all(data_path: Path, symbol: str) -> tuple[Path, ...]:
    """Return the files that hold `symbol`: `data_path` itself, or the files of that folder whose names start with it.

    Several files are the parts of one (such as an exchange's monthly archives): their names differ only in dates or
    numbers. Case is ignored. A venue may stand before the symbol (`BINANCE_SOLUSDT, 5.csv`). Names with another
    timeframe (`SOL_USDT-1h.feather`) are skipped, and so are JSON files without a timeframe. If the folder itself holds
    no such file, its folder `futures` is searched.

    Raises:
        Refused: the symbol is unfit; there is nothing at the path, or no candidate; or there are several candidates
            that are not parts of one file.
    """
    check_symbol(symbol)
    try:
        if data_path.is_dir():
            return _find_in(data_path, symbol)
        if not data_path.exists():
            raise Transient(
                f"there is nothing at {shown(data_path)}", "name a folder or a file that exists in --data-path"
            )
        if not data_path.is_file():
            raise Refused(
                f"{shown(data_path)} is neither a folder nor a regular file", f"name a {FORMATS} file, or its folder"
            )
    except OSError as error:
        raise Transient(
            f"cannot look at {shown(data_path)}: {error.strerror}", "check its permissions and its spelling"
        ) from error
    return (data_path,)


def find_minutes(data_path: Path, symbol: str) -> Path | None:
    """Return the file of 1-minute bars, or its first part by name; see `find_all_minutes`."""
    return next(iter(find_all_minutes(data_path, symbol)), None)


def find_all_minutes(data_path: Path, symbol: str) -> tuple[Path, ...]:
    """Return the files of 1-minute bars that lie in the folder `data_path` beside the files of `find_all`.

    A file belongs to `symbol` as in `find_all`, and holds 1-minute bars if its name says so (`SOL_USDT-1m.feather`). Of
    several, the one (or the parts) whose name equals that of the 5-minute file but for the timeframe is meant.

    Raises:
        Refused: there are several, and not exactly one has that name.
    """
    if not data_path.is_dir():
        return ()
    data_path = _home(data_path, symbol)
    found = minutes_among(_files(data_path), symbol)
    names = found
    if len(found) > 1:
        beside = before_timeframe(find(data_path, symbol).name)
        names = _parts([name for name in found if before_timeframe(name) == beside], symbol)
        if not names:
            said = f"{len(found)} files in {shown(data_path)} hold those of {symbol!r}: {listing(found)}"
            raise Refused(said, "keep one")
    return tuple(data_path / name for name in names)


def market_name(data_path: Path | None, symbol: str) -> str:
    """Return the name of the bars' files before their timeframe, as capital letters and digits.

    The result does not depend on how the symbol was typed. It is the same for freqtrade's `SOL_USDT-5m.feather` as for
    an exchange's `SOLUSDT_5m.csv`. It is `symbol` itself for demo bars, and if the name holds nothing but the
    timeframe.
    """
    if data_path is None:
        return symbol
    return market_of_parts([path.name for path in find_all(data_path, symbol)], symbol)


def _parts(names: list[str], symbol: str) -> list[str]:
    """Return the files of 1-minute bars, if they are one file or the parts of one."""
    as_base = {re.sub(r"(?i)([-_. ])1m(in)?(?=[-_. ]|$)", rf"\g<1>{BASE_MINUTES}m", name): name for name in names}
    try:
        return [as_base[name] for name in chosen(list(as_base), symbol)]
    except Refused:
        return []


def _find_in(folder: Path, symbol: str) -> tuple[Path, ...]:
    folder = _home(folder, symbol)
    names = _files(folder)
    if found := chosen(names, symbol, f" in {shown(folder)}"):
        return tuple(folder / name for name in found)
    if others := named(names, symbol):
        raise Refused(
            f"the files of {symbol!r} in {shown(folder)} are of another timeframe: {listing(others)}",
            f"add its {BASE_MINUTES}-minute bars; all other timeframes are made from them",
        )
    for name in names:
        if name.lower().startswith(symbol.lower()):
            refuse_other_kind(shown(folder / name), name)
    readable = [name for name in names if suffix_of(name)]
    holds = f"it holds {listing(readable or names)}" if names else "it holds no files"
    below = _below(folder, symbol)
    kind = Refused if names or below else Transient  # an empty folder may be a disk that is not mounted yet
    raise kind(
        f"no {FORMATS} file in {shown(folder)} starts with {symbol!r}; {holds}",
        f"name the folder that does: {listing(below)}"
        if below
        else "check the symbol, or name the file itself in --data-path",
    )


def _home(folder: Path, symbol: str) -> Path:
    """Return `folder`, or its folder `futures` if only that holds 5-minute bars of the symbol."""
    futures = folder / FUTURES
    if futures.is_dir() and not candidates(_files(folder), symbol) and candidates(_files(futures), symbol):
        return futures
    return folder


def _below(folder: Path, symbol: str) -> list[str]:
    """Return folders further down that hold the symbol, as in freqtrade's user_data or an exchange's archives."""
    found = islice(_folders(folder), _MOST_FOLDERS)
    return [str(path) for path in sorted(found) if candidates(_files(_home(path, symbol)), symbol)]


def _folders(folder: Path) -> Iterator[Path]:
    """Yield the folders that may be read, nearest first; `futures` is searched together with the folder above it."""
    level = [folder]
    for _ in range(_DEPTH):
        inner = [path for one in level for path in sorted(one.iterdir()) if _is_open(path)]
        yield from (path for path in inner if path.name != FUTURES)
        level = inner[:_MOST_FOLDERS]


def _is_open(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and os.access(path, os.R_OK | os.X_OK)


def _files(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())
