import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from state.files import snapshot
from WORKFLOW.data.bars import BAR_MS, DAY_MS
from WORKFLOW.engines.ledger import TRADE, Closed, Ledger, Opened
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.report.artifacts import equity_csv, trades_csv
from WORKFLOW.report.tree import ResultTree


def market(n: int) -> Market:
    time_ms = np.arange(n, dtype=np.int64) * BAR_MS + 1_700_000_000_000 // DAY_MS * DAY_MS
    price = np.full(n, 100.0)
    return Market(
        time_ms, price, price, price, price, 1.0, True, time_ms // DAY_MS, np.zeros(0), np.zeros(n, dtype=np.bool_)
    )


def ledger(n: int) -> Ledger:
    row = (-1, 3, 7, 100.5, 99.25, 12.5, 0.0124, 0.00125, -0.01, 0.02, Opened.REVERSAL, Closed.TAKE_PROFIT)
    return Ledger(np.array([row], dtype=TRADE), np.linspace(10_000, 10_100, n), 1, 4, 2_000.0, 0, False)


def test_a_trade_row_by_hand() -> None:
    assert trades_csv(ledger(10), market(10)).decode().splitlines() == [
        "side,entry_time,exit_time,entry_price,exit_price,pnl,gross_pnl_pct,net_pnl_pct,mae_pct,mfe_pct,bars,"
        "reason_open,reason_close",
        "short,2023-11-14T00:15:00Z,2023-11-14T00:35:00Z,100.5,99.25,12.5,0.0124,0.00125,-0.01,0.02,4,"
        "reversal,take_profit",
    ]


def test_equity_has_one_row_a_day_and_names_its_window() -> None:
    n = 288 * 3 + 10
    one = ledger(n)
    one.equity[288 * 2 - 1] = 9_000.0
    rows = equity_csv(one, market(n), Window(0, n), split=288 * 2, capital=10_000.0).decode().splitlines()
    assert rows[0] == "time,equity,drawdown_pct,window"
    assert [row.split(",")[0] for row in rows[1:]] == [
        "2023-11-14T23:55:00Z",
        "2023-11-15T23:55:00Z",
        "2023-11-16T23:55:00Z",
        "2023-11-17T00:45:00Z",
    ]
    assert [row.split(",")[3] for row in rows[1:]] == ["in_sample", "in_sample", "out_of_sample", "out_of_sample"]
    peak = one.equity[287]
    assert float(rows[2].split(",")[2]) == pytest.approx((peak - 9_000) / peak)


FILES = {"all_trials.json": b"{}\n", "best_sharpe/config.json": b"1\n", "best_sharpe/trades.csv": b"a\n"}


def test_a_tree_ends_with_a_manifest_of_sums(tmp_path: Path) -> None:
    tree = ResultTree(tmp_path / "SOL" / "aggressive")
    tree.publish(FILES, {"symbol": "SOL"})
    manifest = json.loads((tree.folder / "run_manifest.json").read_text())
    assert manifest["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    for name, data in FILES.items():
        assert (tree.folder / name).read_bytes() == data
    assert {path.name for path in tree.folder.parent.iterdir()} == {"aggressive"}, "debris beside the tree"


def test_what_an_earlier_run_left_in_the_bests_goes(tmp_path: Path) -> None:
    tree = ResultTree(tmp_path / "aggressive")
    tree.publish({**FILES, "best_returns/config.json": b"2\n", "best_sharpe/old.json": b"3\n"}, {})
    (tree.folder / "notes.txt").write_text("a person's own file")
    tree.publish(FILES, {})
    left = {str(path.relative_to(tree.folder)) for path in tree.folder.rglob("*") if path.is_file()}
    assert left == {*FILES, "run_manifest.json", "notes.txt"}
    assert not (tree.folder / "best_returns").exists()


def test_a_failure_before_the_first_replacement_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ResultTree(tmp_path / "aggressive")
    tree.publish(FILES, {"run": 1})
    before = {path: path.read_bytes() for path in tree.folder.rglob("*") if path.is_file()}
    real, left = snapshot.write_bytes, [2]

    def full(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(snapshot, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        tree.publish(dict.fromkeys(FILES, b"new\n"), {"run": 2})
    assert {path: path.read_bytes() for path in tree.folder.rglob("*") if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"aggressive"}
