from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.errors import Refused
from config.settings import Settings, load, with_values
from tests.report.tearsheet.lists import day, walk, write
from WORKFLOW.report.tearsheet import from_trades, page, trades_file, trading
from WORKFLOW.report.tearsheet.from_trades import Asked
from WORKFLOW.report.tearsheet.parts import record_of

CAPITAL = 10_000.0
SETTINGS: Settings = with_values(load({}), monte_carlo={"paths": 40})
SPLIT = 1_706_745_600_000  # 2024-02-01


def doc_of(
    path: Path, capital: float = CAPITAL, split_ms: int | None = None, tries: int | None = None
) -> dict[str, Any]:
    found = trades_file.read(path, capital)
    return from_trades.of_trades(found.trades, Asked("mine", capital, split_ms, tries, found.notes), SETTINGS)


def test_every_figure_by_hand(tmp_path: Path) -> None:
    """Four days, trades on three of them: 11,000 → 11,000 → 10,450 → 12,540."""
    rows = [f"{day(0, 0)},{day(0)},1000", f"{day(2, 0)},{day(2)},-550", f"{day(3, 0)},{day(3)},2090"]
    doc = doc_of(write(tmp_path / "t.csv", "entry_time,exit_time,pnl", rows))
    full = doc["metrics"]["full"]
    returns = np.array([0.1, 0.0, -0.05, 0.2])
    assert full["sharpe_ratio"] == pytest.approx(returns.mean() / returns.std(ddof=1) * 365**0.5)
    assert full["sortino_ratio"] == pytest.approx(returns.mean() / (0.05**2 / 4) ** 0.5 * 365**0.5)
    assert full["total_return"] == pytest.approx(0.254)
    assert full["annualized_return"] == pytest.approx(1.254 ** (365 / 4) - 1)
    assert (full["max_drawdown"], full["max_drawdown_pct"]) == (pytest.approx(550.0), pytest.approx(0.05))
    assert full["win_rate"] == pytest.approx(2 / 3)
    assert full["profit_factor"] == pytest.approx(3090 / 550)
    assert full["exposure"] == pytest.approx(1.5 / 4)
    assert (full["total_trades"], full["days"]) == (3, 4)
    assert doc["daily"] == {"first_day": "2024-01-01", "equity": [11_000.0, 11_000.0, 10_450.0, 12_540.0]}
    assert doc["equity"]["equity"] == [10_000.0, 11_000.0, 10_450.0, 12_540.0]
    assert doc["trades"]["all"]["losses_in_a_row"] == 1
    assert doc["trades"]["all"]["hours_held"] == pytest.approx(12.0)


def test_windows_are_those_days_alone(tmp_path: Path) -> None:
    path = walk(tmp_path / "t.csv", 24 * 60)
    doc = doc_of(path, split_ms=SPLIT)
    inside, outside, full = (doc["metrics"][name] for name in ("in_sample", "out_of_sample", "full"))
    assert (inside["days"], outside["days"], full["days"]) == (31, 29, 60)
    assert inside["total_trades"] + outside["total_trades"] == full["total_trades"] == 1440
    assert (1 + inside["total_return"]) * (1 + outside["total_return"]) == pytest.approx(1 + full["total_return"])
    marks = np.array([CAPITAL, *doc["daily"]["equity"]])
    returns = (marks[1:] / marks[:-1] - 1)[31:]
    assert outside["sharpe_ratio"] == pytest.approx(returns.mean() / returns.std(ddof=1) * 365**0.5, rel=1e-4)
    assert set(doc["monte_carlo"]) == {"in_sample", "out_of_sample"}
    for name, values in (("in_sample", inside), ("out_of_sample", outside)):
        assert doc["monte_carlo"][name]["observed"][-1] == pytest.approx(1 + values["total_return"])


def test_one_trade_is_a_tearsheet_with_what_is_undefined_left_open(tmp_path: Path) -> None:
    doc = doc_of(write(tmp_path / "t.csv", "exit_time,pnl", [f"{day(0)},5"]))
    assert doc["metrics"]["full"]["sharpe_ratio"] is None
    assert doc["metrics"]["full"]["total_return"] == pytest.approx(0.0005)
    assert doc["trades"]["histogram"] is None
    assert doc["monte_carlo"]["full"]["block_bootstrap"] is None
    assert doc["verdict"]["line"].startswith("not tradeable: 1 of 90 days, 1 of 30 trades")


def test_without_split_and_tries_nothing_is_judged(tmp_path: Path) -> None:
    doc = doc_of(walk(tmp_path / "t.csv", 24 * 100))
    assert doc["verdict"]["state"] == "unjudged"
    assert doc["verdict"]["line"] == (
        "not judged: nobody said which trades were not used to choose it (--split DATE)"
        " or how many strategies were tried (--tries N)"
    )
    unknown = {check["name"] for check in doc["verdict"]["checks"] if check["value"] is None}
    assert unknown == {
        "out_of_sample_trades",
        "out_of_sample_sharpe",
        "out_of_sample_drawdown",
        "beats_chance",
        "deflated_sharpe",
    }
    assert not any(check["passed"] for check in doc["verdict"]["checks"] if check["name"] in unknown)


def test_a_list_of_trades_is_never_a_candidate(tmp_path: Path) -> None:
    """A list of trades is never a candidate, however good it is, because its bars are unknown."""
    rows = [f"{day(at)},{30 + at % 5}" for at in range(200)]
    doc = doc_of(write(tmp_path / "t.csv", "exit_time,pnl", rows), split_ms=SPLIT + 60 * 86_400_000, tries=1)
    assert all(check["passed"] for check in doc["verdict"]["checks"])
    assert doc["verdict"]["state"] == "unjudged"
    assert doc["verdict"]["line"].startswith("holds up as far as a list of trades can tell")


def test_luck_is_counted_when_the_tries_are_said(tmp_path: Path) -> None:
    doc = doc_of(walk(tmp_path / "t.csv", 24 * 100), split_ms=SPLIT, tries=50_000)
    assert doc["verdict"]["state"] == "rejected"
    assert "within the reach of luck" in doc["verdict"]["line"]
    assert doc["verdict"]["line"].endswith("for 50,000 tries")
    assert doc["chance"]["expected_max_sharpe"] > 10, "one month"


def test_a_capital_that_does_not_survive_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "exit_time,pnl", [f"{day(0)},-40", f"{day(1)},-80", f"{day(2)},500"])
    with pytest.raises(
        Refused, match=r"capital of 100.00 is gone after trade 2, closed 2024-01-02T12:00:00Z"
    ) as refusal:
        doc_of(path, capital=100.0)
    assert "--capital" in refusal.value.way_out


@pytest.mark.parametrize(
    ("header", "results", "capital"),
    [
        ("pnl", [1.7e308, 1.7e308, 1.7e308], CAPITAL),
        ("net_pnl_pct", [1e200, 1e200, 1e200], CAPITAL),
        ("net_pnl_pct", [5.0] * 40, CAPITAL),
        ("pnl", [1.0, 2.0, -0.5], 1e-300),
    ],
)
def test_growth_beyond_all_measure_is_a_unit_that_is_wrong(
    tmp_path: Path, header: str, results: list[float], capital: float
) -> None:
    rows = [f"{day(at)},{result}" for at, result in enumerate(results)]
    with pytest.raises(Refused, match=r"times as much after trade \d+, closed 2024-0") as refusal:
        doc_of(write(tmp_path / "t.csv", f"exit_time,{header}", rows), capital=capital)
    assert "--unit percent" in refusal.value.way_out


def test_the_largest_growth_that_is_taken_fits_its_files(tmp_path: Path) -> None:
    rows = [f"{day(0)},1", f"{day(1)},{0.9 * from_trades.MOST_GROWTH * CAPITAL}", f"{day(1, 13)},-1"]
    doc = doc_of(write(tmp_path / "t.csv", "exit_time,pnl", rows))
    assert record_of(page.render(doc)) == doc


def test_one_time_in_another_unit_is_refused_and_makes_no_page_of_millions_of_days(tmp_path: Path) -> None:
    rows = ["1704067200,1", "99999999999,1"]
    with pytest.raises(Refused, match=r"from 2024-01-01T00:00:00Z to 5138-.*more than 100 years"):
        doc_of(write(tmp_path / "t.csv", "exit_time,pnl", rows))


@pytest.mark.parametrize("split_ms", [SPLIT - 400 * 86_400_000, SPLIT + 400 * 86_400_000])
def test_a_split_with_nothing_on_one_side_is_refused(tmp_path: Path, split_ms: int) -> None:
    with pytest.raises(Refused, match=r"leaves no trade on one side"):
        doc_of(walk(tmp_path / "t.csv", 24 * 60), split_ms=split_ms)


def test_the_same_trades_give_the_same_document(tmp_path: Path) -> None:
    path = walk(tmp_path / "t.csv", 500)
    assert doc_of(path) == doc_of(path)


def test_reasons_beyond_the_most_frequent_are_one_row(tmp_path: Path) -> None:
    """Bots write prices into reasons: one row for each made a page of megabytes, and took quadratic time."""
    rows = [f"{day(at, 0)},1,{'roi' if at < 40 else f'sold at {at}'}" for at in range(3_000)]
    groups = doc_of(write(tmp_path / "t.csv", "exit_time,pnl,exit_reason", rows))["trades"]["by_exit"]
    assert (len(groups), groups["roi"]["trades"]) == (trading.MOST_REASONS, 40)
    assert sum(group["trades"] for group in groups.values()) == 3_000
    assert list(groups)[-1] == f"{2_960 - trading.MOST_REASONS + 2:,} other reasons"
