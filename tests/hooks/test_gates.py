from pathlib import Path

import pytest

from hooks import prescreen_artifacts, trade_significance
from state import snapshot


@pytest.mark.parametrize(
    ("trades", "minimum", "passed"),
    [(30, 30, True), (29, 30, False), (29, 5, False), (30, 5, True), (49, 50, False), (50, 50, True)],
)
def test_thirty_trades_are_the_floor(trades: int, minimum: int, passed: bool) -> None:
    verdict = trade_significance.judge(trades, minimum, "in-sample")
    assert verdict.passed is passed
    assert verdict.reason == f"{trades} trades in-sample (at least {max(30, minimum)})"


def test_the_prescreen_artifact_must_be_there_and_whole_and_ours(tmp_path: Path) -> None:
    path = tmp_path / "phase0_top500.json"

    missing = prescreen_artifacts.judge(path, "SOL", "aggressive")
    assert not missing.passed
    assert "missing" in missing.reason

    path.write_text('{"symbol": "SOL", "mode": "aggr')
    assert not prescreen_artifacts.judge(path, "SOL", "aggressive").passed

    snapshot.write_json(path, {"symbol": "BTC", "mode": "aggressive", "results": []})
    strange = prescreen_artifacts.judge(path, "SOL", "aggressive")
    assert not strange.passed
    assert "BTC" in strange.reason

    snapshot.write_json(path, {"symbol": "SOL", "mode": "aggressive", "results": [{}, {}]})
    good = prescreen_artifacts.judge(path, "SOL", "aggressive")
    assert good.passed
    assert good.reason.startswith("2 prescreen results")
