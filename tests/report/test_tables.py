import io
from typing import Any

from rich.console import Console

from WORKFLOW.report.tables import show


def values(sharpe: float | None, total: float | None) -> dict[str, Any]:
    return {
        "sharpe_ratio": sharpe,
        "total_return": total,
        "max_drawdown_pct": 0.38,
        "win_rate": 0.36,
        "total_trades": 1239,
    }


def outcome(**changes: Any) -> dict[str, Any]:
    best = {
        "in_sample": values(4.47, 12.93),
        "out_of_sample": values(-0.31, -0.0513),
        "verdict": "not tradeable: out-of-sample Sharpe -0.3; chance alone gives 3.6 for 50,255 tries",
    }
    return {
        "symbol": "SOL",
        "mode": "aggressive",
        "synthetic": False,
        "chance": {"tries": 50_255, "expected_max_sharpe": 3.58},
        "bests": {"best_sharpe": best, "lowest_drawdown": best},
        "verdict": best["verdict"],
        "artifacts": "results/SOL/aggressive",
        "next": "read on",
    } | changes


def printed(record: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    show(record, console)
    return console.export_text()


def test_everything_fits_into_80_columns() -> None:
    text = printed(outcome())
    assert "best Sharpe      4.47 → -0.31  +1293% → -5%  38% → 38%  36% → 36%  1239 → 1239" in text
    assert "…" not in text


def test_chance_stands_beside_the_candidates() -> None:
    assert "chance alone      3.58 → 0.00" in printed(outcome())


def test_equal_verdicts_are_said_once() -> None:
    text = printed(outcome(), width=200)
    assert text.count("not tradeable") == 1
    assert "best Sharpe, lowest drawdown: not tradeable: out-of-sample Sharpe -0.3" in text


def test_synthetic_data_is_named_in_the_title() -> None:
    assert "SYNTHETIC DATA" in printed(outcome(synthetic=True))


def test_undefined_is_a_dash() -> None:
    record = outcome()
    record["bests"]["best_sharpe"]["out_of_sample"] = values(None, None)
    assert "4.47 → –" in printed(record)


def test_no_candidate_is_a_line_and_not_an_empty_table() -> None:
    text = printed(outcome(bests={}, verdict="not tradeable: none of 300 tries closed 30 trades in-sample"))
    assert "not tradeable: none of 300 tries" in text
    assert "candidate" not in text


def test_what_ambiguous_bars_leave_open_is_said_below_the_verdicts() -> None:
    record = outcome()
    assert "either comes first" not in printed(record)  # results of an earlier version have no note
    note = "12 bars touch both stop and take-profit; out-of-sample Sharpe is -0.3 to 0.9 as either comes first"
    record["bests"] = {name: {**one, "note": None} for name, one in record["bests"].items()}
    record["bests"]["lowest_drawdown"]["note"] = note
    text = printed(record, width=200)
    assert text.count("either comes first") == 1
    assert f"lowest drawdown: {note}" in text
    assert text.index("not tradeable") < text.index(note)


def regime(days: int, sharpe: float | None) -> dict[str, Any]:
    total = 0.1 if days else None
    return {"days": days, "total_return": total, "sharpe_ratio": sharpe, "total_trades": days // 3}


def test_regimes_are_shown_on_demand_once_a_strategy_and_without_empty_ones() -> None:
    inside = {"up_calm": regime(120, 1.25), "down_volatile": regime(30, None), "unknown": regime(0, None)}
    outside = {"up_calm": regime(40, -0.5), "down_volatile": regime(0, None), "unknown": regime(0, None)}
    record = outcome()
    for best in record["bests"].values():
        best["by_regime"] = {"in_sample": inside, "out_of_sample": outside}
    assert "by regime" not in printed(record)
    console = Console(width=80, record=True, file=io.StringIO())
    show(record, console, by_regime=True)
    text = console.export_text()
    assert text.count("by regime") == 1
    assert "by regime: best Sharpe, lowest drawdown\n" in text
    assert "up, calm           120 → 40  1.25 → -0.50  +10% → +10%  40 → 13" in text
    assert "down, volatile       30 → 0         – → –     +10% → –   10 → 0" in text
    assert "unknown" not in text
    assert "…" not in text


def test_results_of_an_earlier_version_have_no_regimes_to_show() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    show(outcome(), console, by_regime=True)
    assert "by regime" not in console.export_text()
