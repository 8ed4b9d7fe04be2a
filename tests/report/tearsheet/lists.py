"""Lists of trades as files, for the tests beside this file."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from WORKFLOW.report.tearsheet import trades_file
from WORKFLOW.report.tearsheet.trading import Trades

FIRST = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
NOON = 1_709_294_400_000  # 2024-03-01 12:00 UTC
HOUR = 3_600_000


def day(number: int, hour: int = 12) -> str:
    """Noon of a day from 2024-01-01 on."""
    return (FIRST + datetime.timedelta(days=number, hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(path: Path, header: str, rows: Sequence[str]) -> Path:
    """A CSV file."""
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def walk(path: Path, count: int, minutes: int = 60, seed: int = 1) -> Path:
    """`count` trades that follow each other, with all columns of ours but prices; a little edge, whatever the count."""
    random = np.random.default_rng(seed)
    net = random.normal(0.3 / count, 0.3 / count**0.5, count)
    pnl = 10_000 * np.diff(np.cumprod(1 + net), prepend=1.0)
    mae, mfe = (abs(random.normal(0, 0.004, count)).tolist() for _ in range(2))
    first_s = int(FIRST.timestamp())
    rows = []
    for at, (one, money) in enumerate(zip(net.tolist(), pnl.tolist(), strict=True)):
        entry_s = first_s + 60 * minutes * at
        side, reason = "long" if at % 3 else "short", "take_profit" if one > 0 else "stop_loss"
        rows.append(f"{side},{entry_s},{entry_s + 30 * minutes},{money},{one},{-mae[at]},{mfe[at]},{reason}")
    return write(path, "side,entry_time,exit_time,pnl,net_pnl_pct,mae_pct,mfe_pct,reason_close", rows)


def found(tmp_path: Path, text: str | bytes, name: str = "list.csv", **more: Any) -> trades_file.TradesFile:
    """What is read of a file with this text."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return trades_file.read(path, more.pop("capital", None), **more)


def trades(one: trades_file.TradesFile) -> Trades:
    """Its trades, which must be there."""
    assert one.trades is not None
    return one.trades
