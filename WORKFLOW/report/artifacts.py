"""The result tree of one symbol and mode, and its one writer.

Every file is whole or not there. `run_manifest.json` is written last and names the SHA-256 of every other file, so a
reader who finds it and its sums right has one run's results and no mixture.
"""

import csv
import hashlib
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from state import codec, snapshot
from state.layout import BESTS, MANIFEST
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Closed, Ledger, Opened
from WORKFLOW.engines.market import Market, Window

TRADE_COLUMNS = (
    "side",
    "entry_time",
    "exit_time",
    "entry_price",
    "exit_price",
    "pnl",
    "gross_pnl_pct",
    "net_pnl_pct",
    "mae_pct",
    "mfe_pct",
    "bars",
    "reason_open",
    "reason_close",
)
EQUITY_COLUMNS = ("time", "equity", "drawdown_pct", "window")


@dataclass(frozen=True)
class ResultTree:
    """`Backtests/optimizations/{SYMBOL}/{mode}`."""

    folder: Path

    def write_phase0(self, name: str, record: Mapping[str, Any]) -> None:
        """Publish the prescreen's result before the search begins."""
        snapshot.write_json(self.folder / name, record)

    def publish(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        """Replace the tree's files by `files` (path inside the tree → content) and end with the manifest.

        All bytes are on disk beside the tree before the first old file is touched: a full disk costs nothing.
        """
        staging = self.folder.with_name(f".{self.folder.name}.staging")
        shutil.rmtree(staging, ignore_errors=True)
        try:
            for name, data in files.items():
                snapshot.write_bytes(staging / name, data)
            sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
            manifest_bytes = codec.encode({**manifest, "files": sums})
            snapshot.write_bytes(staging / MANIFEST, manifest_bytes)
            (self.folder / MANIFEST).unlink(missing_ok=True)
            for name in (*files, MANIFEST):
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if name == MANIFEST:
                    self._drop_strangers(set(files))
                (staging / name).replace(target)
            snapshot.sync_folder(self.folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _drop_strangers(self, mine: set[str]) -> None:
        """Files of an earlier run that this one has no counterpart for would be read as this run's."""
        for best in BESTS:
            folder = self.folder / best
            for path in folder.iterdir() if folder.is_dir() else ():
                if f"{best}/{path.name}" not in mine:
                    path.unlink()
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def trades_csv(ledger: Ledger, market: Market) -> bytes:
    """Closed trades, one a row; times are bar opens in UTC, `_pct` columns are fractions."""
    rows = [
        (
            "long" if t["side"] > 0 else "short",
            _utc(market.time_ms[t["entry_bar"]]),
            _utc(market.time_ms[t["exit_bar"]]),
            *(float(t[name]) for name in TRADE_COLUMNS[3:10]),
            int(t["exit_bar"] - t["entry_bar"]),
            Opened(int(t["reason_open"])).name.lower(),
            Closed(int(t["reason_close"])).name.lower(),
        )
        for t in ledger.trades
    ]
    return _csv(TRADE_COLUMNS, rows)


def equity_csv(ledger: Ledger, market: Market, window: Window, split: int, capital: float) -> bytes:
    """Equity at the last close of every UTC day, open profit included, with the drawdown of these daily marks."""
    day = market.day[window.start : window.stop]
    last = np.flatnonzero(np.append(day[1:] != day[:-1], True))
    marks = metrics.daily_marks(ledger.equity, market, window)
    peaks = np.maximum(np.maximum.accumulate(marks), capital)
    rows = [
        (
            _utc(market.time_ms[window.start + bar]),
            float(mark),
            float((peak - mark) / peak),
            "in_sample" if window.start + bar < split else "out_of_sample",
        )
        for bar, mark, peak in zip(last.tolist(), marks, peaks, strict=True)
    ]
    return _csv(EQUITY_COLUMNS, rows)


def _utc(time_ms: np.int64) -> str:
    return f"{np.datetime64(int(time_ms) // 1000, 's')}Z"


def _csv(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()
