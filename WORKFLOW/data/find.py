"""Where a symbol's bars lie: the file of a folder whose name says so, or its parts, in the layouts that people have."""

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

FUTURES = "futures"  # where freqtrade keeps the bars of contracts, beside those of the spot market
_MOST_FOLDERS = 500  # looked into for a symbol that the named folder lacks
_DEPTH = 6  # data/spot/monthly/klines/SOLUSDT/5m is five below

# A symbol becomes a folder name in the results.
SYMBOL = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,40}")


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
    """The file that holds `symbol`, the first by name where it lies in parts; as `find_all`."""
    return find_all(data_path, symbol)[0]


def find_all(data_path: Path, symbol: str) -> tuple[Path, ...]:
    """The files that hold `symbol`: `data_path` itself, or those of that folder whose names start with it.

    Several are the parts of one (an exchange's monthly archives): their names differ in dates or numbers alone. Case is
    ignored; a venue may stand before the symbol (`BINANCE_SOLUSDT, 5.csv`); names that carry another timeframe
    (`SOL_USDT-1h.feather`) are passed over, and so are JSON files that carry none. Where the folder itself holds none,
    its folder `futures` is looked into.

    Raises:
        Refused: an unfit symbol, nothing there, no candidate, or several that are no parts of one.
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
    """The file of 1-minute bars beside the others, the first by name where it lies in parts; as `find_all_minutes`."""
    return next(iter(find_all_minutes(data_path, symbol)), None)


def find_all_minutes(data_path: Path, symbol: str) -> tuple[Path, ...]:
    """The files of 1-minute bars that lie in the folder `data_path` beside the ones `find_all` finds; often none.

    A file belongs to `symbol` as in `find_all`, and holds 1-minute bars when its name says so (`SOL_USDT-1m.feather`).
    Where several do, the one that is called as the 5-minute file but for the timeframe is meant, or its parts.

    Raises:
        Refused: several, and none or more than one of them is called so.
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
    """What the bars' files are called before their timeframe, capital letters and digits alone.

    The same however the symbol was typed, for freqtrade's `SOL_USDT-5m.feather` as for an exchange's `SOLUSDT_5m.csv`.
    `symbol` itself for demo bars, and where nothing but the timeframe is in the name.
    """
    if data_path is None:
        return symbol
    return market_of_parts([path.name for path in find_all(data_path, symbol)], symbol)


def _parts(names: list[str], symbol: str) -> list[str]:
    """The files of 1-minute bars, when they are one or the parts of one."""
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
    kind = Refused if names or below else Transient  # an empty folder may be a disk that is not mounted
    raise kind(
        f"no {FORMATS} file in {shown(folder)} starts with {symbol!r}; {holds}",
        f"name the folder that does: {listing(below)}"
        if below
        else "check the symbol, or name the file itself in --data-path",
    )


def _home(folder: Path, symbol: str) -> Path:
    """`folder`, or its `futures` where only that holds 5-minute bars of the symbol."""
    futures = folder / FUTURES
    if futures.is_dir() and not candidates(_files(folder), symbol) and candidates(_files(futures), symbol):
        return futures
    return folder


def _below(folder: Path, symbol: str) -> list[str]:
    """Folders further down that hold the symbol: of freqtrade's user_data, of an exchange's archives."""
    found = islice(_folders(folder), _MOST_FOLDERS)
    return [str(path) for path in sorted(found) if candidates(_files(_home(path, symbol)), symbol)]


def _folders(folder: Path) -> Iterator[Path]:
    """Those that can be looked into, the nearest first; `futures` is looked into by the folder above it."""
    level = [folder]
    for _ in range(_DEPTH):
        inner = [path for one in level for path in sorted(one.iterdir()) if _is_open(path)]
        yield from (path for path in inner if path.name != FUTURES)
        level = inner[:_MOST_FOLDERS]


def _is_open(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and os.access(path, os.R_OK | os.X_OK)


def _files(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())
