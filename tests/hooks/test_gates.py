from pathlib import Path

import pytest

from hooks import first_kernel_deadline, prescreen_artifacts, trade_significance
from hooks.gate import run_gates
from state.files import snapshot


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


# run_gates ------------------------------------------------------------------------------------------------------------


def gate_file(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_gates_of_the_user_are_asked_after_ours_in_the_order_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "search.log"
    log.write_text("  Loaded Phase0 seed: SOL/aggressive 45 of 500 (best in-sample Sharpe 4.47)\n")
    folder = tmp_path / "gates" / "before_search"
    gate_file(folder, "1-yes", 'grep -q \'"symbol": "SOL"\' && echo fine')
    gate_file(folder, "2-no", "echo too risky; exit 1")
    (folder / "README.txt").write_text("no gate")
    monkeypatch.setenv("BACKTEST_OPTIMIZE_GATES", str(tmp_path / "gates"))
    facts = {"symbol": "SOL", "mode": "aggressive", "log": str(log)}
    verdicts = run_gates("before_search", facts)
    assert [(v.gate, v.passed) for v in verdicts] == [("seed_handoff", True), ("1-yes", True), ("2-no", False)]
    assert verdicts[2].reason == f"{folder / '2-no'}: too risky"


def test_a_search_without_its_seed_line_does_not_pass(tmp_path: Path) -> None:
    log = tmp_path / "search.log"
    log.write_text("Loaded Phase0 seed: BTC/aggressive 45 of 500")
    facts = {"symbol": "SOL", "mode": "aggressive", "log": str(log)}
    assert [v.passed for v in run_gates("before_search", facts)] == [False]
    assert [v.passed for v in run_gates("before_search", {**facts, "log": str(tmp_path / "none")})] == [False]


def test_a_gate_that_cannot_be_started_has_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "before_search"
    folder.mkdir()
    (folder / "broken").write_text("#!/no/such/interpreter\n")
    (folder / "broken").chmod(0o755)
    monkeypatch.setenv("BACKTEST_OPTIMIZE_GATES", str(tmp_path))
    verdict = run_gates("before_search", {"symbol": "S", "mode": "m", "log": str(tmp_path)})[-1]
    assert (verdict.gate, verdict.passed) == ("broken", False)


def test_the_first_batch_is_due_and_then_never_again() -> None:
    assert first_kernel_deadline.judge(0, 119.0, 120.0).passed
    assert not first_kernel_deadline.judge(0, 121.0, 120.0).passed
    assert first_kernel_deadline.judge(1, 900.0, 120.0).passed
