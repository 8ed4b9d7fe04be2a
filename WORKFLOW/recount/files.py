"""The files of one best and of its tree, as a recount reads them: each the one that the manifest names."""

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config import plain
from config.errors import Refused
from state.files import codec, snapshot
from state.files.layout import BESTS, MANIFEST, SEARCH, WINDOWS
from WORKFLOW.data.bars import Floats

Record = dict[str, Any]
WINDOW_NAMES = ("in_sample", "out_of_sample")


@dataclass(frozen=True)
class Simulation:
    """One simulation: equity at the last bar of each UTC day, and its closed trades. Times are seconds, int64.

    `marks` (d,) in currency, `days` (d,) the open of the bar they are of; `entry`, `exit` (t,) bar opens; `pnl` (t,)
    currency after fees, `net` (t,) fraction of the equity at entry.
    """

    days: NDArray[np.int64]
    marks: Floats
    entry: NDArray[np.int64]
    exit: NDArray[np.int64]
    pnl: Floats
    net: Floats


@dataclass(frozen=True)
class Files:
    """What was published of one best. `windows` is None in results of a version that did not write it."""

    best: str
    manifest: Record
    search: Record
    config: Record
    metrics: Record
    validation: Record
    plateau: Record
    whole: Simulation
    whole_windows: tuple[str, ...]  # of each day of `whole`
    windows: Mapping[str, Simulation] | None


def manifest_of(folder: Path) -> Record:
    """The manifest of a tree.

    Raises:
        Refused: there is none.
    """
    manifest = snapshot.read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise Refused(f"{folder / MANIFEST} is missing or names no files", "name the folder of a symbol and mode")
    return manifest


def bests_of(manifest: Record) -> list[str]:
    """The bests that a tree holds."""
    return [best for best in BESTS if f"{best}/validation.json" in manifest["files"]]


def read(folder: Path, manifest: Record, best: str) -> Files:
    """All that is known of a best.

    Raises:
        Refused: a file is not the one that the manifest names. KeyError, TypeError, ValueError: it is none of ours.
    """

    def of(name: str) -> bytes:
        return _named(folder / name, manifest["files"].get(name))

    def record(name: str) -> Record:
        found = codec.decode(of(name))
        if not isinstance(found, dict):
            raise TypeError(f"{name} is no record")
        return found

    equity = _table(of(f"{best}/equity.csv"))
    there = f"{best}/{WINDOWS}" in manifest["files"]
    windows = record(f"{best}/{WINDOWS}") if there else None
    return Files(
        best=best,
        manifest=manifest,
        search=record(SEARCH),
        config=record(f"{best}/config.json"),
        metrics=record(f"{best}/metrics.json"),
        validation=record(f"{best}/validation.json"),
        plateau=record(f"{best}/plateau.json"),
        whole=_run(equity, _table(of(f"{best}/trades.csv"))),
        whole_windows=tuple(equity["window"]),
        windows=None if windows is None else {n: _run(windows[n], windows[n]["trades"]) for n in WINDOW_NAMES},
    )


def _named(path: Path, total: object) -> bytes:
    try:
        data = plain.read_bytes(path)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}", "search again, or restore the folder whole") from None
    if hashlib.sha256(data).hexdigest() != total:
        raise Refused(f"{path} is not the file that {MANIFEST} names", "search again, or restore the folder whole")
    return data


def _table(data: bytes) -> dict[str, list[str]]:
    """A CSV file by column."""
    header, *rows = csv.reader(io.StringIO(data.decode()))
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return dict(zip(header, map(list, columns), strict=True))


def _run(daily: Mapping[str, Any], trades: Mapping[str, Any]) -> Simulation:
    return Simulation(
        days=_seconds(daily["time"]),
        marks=_floats(daily["equity"]),
        entry=_seconds(trades["entry_time"]),
        exit=_seconds(trades["exit_time"]),
        pnl=_floats(trades["pnl"]),
        net=_floats(trades["net_pnl_pct"]),
    )


def _floats(values: Any) -> Floats:
    return np.array([float(value) for value in values], dtype=np.float64)


def _seconds(times: Any) -> NDArray[np.int64]:
    return np.array([str(time).removesuffix("Z") for time in times], dtype="datetime64[s]").astype(np.int64)
