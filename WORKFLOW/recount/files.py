"""The files of one best and of its tree, as a recount reads them: each the one that the manifest names."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused
from state.files import codec
from state.files.artifacts import MANIFEST, SEARCH, WINDOWS
from state.records import results
from state.records.results import PublishedTree
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


def tree_of(folder: Path) -> PublishedTree:
    """The tree in `folder`.

    Raises:
        Refused: it has no manifest, or one that names no files.
    """
    tree = results.read(folder)
    if not isinstance(tree.manifest.get("files"), dict):
        raise Refused(f"{folder / MANIFEST} names no files", "name the folder of a symbol and mode")
    return tree


def read(tree: PublishedTree, best: str) -> Files:
    """All that is known of a best.

    Raises:
        Refused: a file is not the one that the manifest names. KeyError, TypeError, ValueError: it is none of ours.
    """

    def record(name: str) -> Record:
        value = codec.decode(tree.data(name))
        if not isinstance(value, dict):
            raise TypeError(f"{name} is no record")
        return value

    equity = _table(tree.data(f"{best}/equity.csv"))
    windows = record(f"{best}/{WINDOWS}") if f"{best}/{WINDOWS}" in tree.sums else None
    return Files(
        best=best,
        manifest=tree.manifest,
        search=record(SEARCH),
        config=record(f"{best}/config.json"),
        metrics=record(f"{best}/metrics.json"),
        validation=record(f"{best}/validation.json"),
        plateau=record(f"{best}/plateau.json"),
        whole=_run(equity, _table(tree.data(f"{best}/trades.csv"))),
        whole_windows=tuple(equity["window"]),
        windows=None if windows is None else {n: _run(windows[n], windows[n]["trades"]) for n in WINDOW_NAMES},
    )


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
