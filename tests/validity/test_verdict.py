import dataclasses
from typing import Any

import pytest

from config.settings import load
from WORKFLOW.validity import verdict
from WORKFLOW.validity.verdict import FinalistEvidence, WindowFigures

SETTINGS = load({})


def values(**changed: Any) -> WindowFigures:
    usual = WindowFigures(sharpe_ratio=1.4, max_drawdown_pct=0.2, total_trades=120, days=256)
    return dataclasses.replace(usual, **changed)


GOOD = FinalistEvidence(
    in_sample=values(sharpe_ratio=5.0, days=600),
    out_of_sample=values(),
    walk_forward_sharpe=0.9,
    walk_forward_efficiency=0.6,
    plateau=0.9,
    engines_agree=True,
    looks_ahead=None,
    ruined=False,
    synthetic=False,
    tries=20_000,
    deflated_sharpe=0.99,
    min_backtest_years=0.5,
    overfitting=0.1,
    luck=0.01,
    placebo=0.025,
    buy_and_hold_sharpe=-0.1,
)


def said(evidence: FinalistEvidence) -> str:
    return verdict.line(evidence, verdict.checks(evidence, SETTINGS))


def test_a_candidate_is_called_one() -> None:
    assert said(GOOD) == (
        "candidate: out-of-sample Sharpe 1.4 over 256 days, in-sample 5.0; chance alone gives 3.1 for 20,000 tries"
    ), "GOOD passes every check"


def test_the_plain_line() -> None:
    evidence = dataclasses.replace(GOOD, out_of_sample=values(sharpe_ratio=0.2))
    assert said(evidence) == "not tradeable: out-of-sample Sharpe 0.2; chance alone gives 3.1 for 20,000 tries"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"synthetic": True}, "synthetic data"),
        ({"looks_ahead": "looks 5 minutes ahead: side at T"}, "looks 5 minutes ahead: side at T"),
        ({"engines_agree": False}, "the fast engine disagrees with the reference"),
        ({"out_of_sample": values(sharpe_ratio=0.2)}, "out-of-sample Sharpe 0.2"),
        ({"out_of_sample": values(total_trades=29)}, "29 trades out-of-sample (at least 30)"),
        ({"in_sample": values(sharpe_ratio=5.0, days=600, total_trades=3)}, "3 trades in-sample (at least 30)"),
        ({"in_sample": values(sharpe_ratio=2.0, days=600)}, "in-sample Sharpe 2.0 is within the reach of luck, 3.8"),
        (
            {"in_sample": values(sharpe_ratio=None, days=600)},
            "in-sample Sharpe undefined is within the reach of luck, 3.8",
        ),
        ({"walk_forward_sharpe": -0.3}, "walk-forward Sharpe -0.3"),
        ({"walk_forward_sharpe": None}, "walk-forward Sharpe undefined"),
        ({"out_of_sample": values(max_drawdown_pct=0.41)}, "out-of-sample drawdown 41%"),
        ({"out_of_sample": values(max_drawdown_pct=None)}, "out-of-sample drawdown undefined"),
        ({"ruined": True}, "ruined"),
        ({"walk_forward_efficiency": 0.29}, "walk-forward keeps 29% of the in-sample Sharpe"),
        ({"walk_forward_efficiency": None}, "walk-forward keeps undefined of the in-sample Sharpe"),
        ({"plateau": 0.69}, "69% of its neighbours have half of its Sharpe"),
        ({"plateau": None}, "undefined of its neighbours have half of its Sharpe"),
        ({"deflated_sharpe": 0.9499}, "deflated Sharpe 0.950"),
        ({"deflated_sharpe": None}, "deflated Sharpe undefined"),
        ({"min_backtest_years": 1.7}, "1.6 in-sample years are too short for that Sharpe after so many tries"),
        ({"min_backtest_years": None}, "1.6 in-sample years are too short for that Sharpe after so many tries"),
        ({"overfitting": 0.31}, "probability of overfitting 31%"),
        ({"overfitting": None}, "probability of overfitting undefined"),
        ({"luck": 0.06}, "luck gives as good a best of all combos with p = 0.060"),
        ({"luck": None}, "luck gives as good a best of all combos with p = undefined"),
        ({"placebo": 0.075}, "shuffled markets give as good a best with p = 0.075"),
        ({"placebo": None}, "shuffled markets give as good a best with p = undefined"),
        ({"buy_and_hold_sharpe": 1.5}, "out-of-sample Sharpe 1.4, buying and holding has 1.5"),
        ({"buy_and_hold_sharpe": None}, "out-of-sample Sharpe 1.4, buying and holding has undefined"),
    ],
)
def test_each_check_alone_is_enough_to_refuse(change: dict[str, Any], words: str) -> None:
    evidence = dataclasses.replace(GOOD, **change)
    results = verdict.checks(evidence, SETTINGS)
    assert [check.if_failed for check in results if not check.passed] == [words]
    assert said(evidence).startswith(f"not tradeable: {words}; chance alone gives")


def test_without_an_out_of_sample_sharpe_nothing_is_beaten() -> None:
    evidence = dataclasses.replace(GOOD, out_of_sample=values(sharpe_ratio=None))
    assert said(evidence).startswith(
        "not tradeable: out-of-sample Sharpe undefined, "
        "out-of-sample Sharpe undefined, buying and holding has -0.1; chance"
    )
    failed = [check.name for check in verdict.checks(evidence, SETTINGS) if not check.passed]
    assert failed == ["out_of_sample_sharpe", "beats_buy_and_hold"]


def test_no_minus_before_a_zero() -> None:
    evidence = dataclasses.replace(GOOD, out_of_sample=values(sharpe_ratio=-0.03), buy_and_hold_sharpe=-1.0)
    assert "out-of-sample Sharpe 0.0;" in said(evidence)


def test_many_reasons_are_counted() -> None:
    evidence = dataclasses.replace(GOOD, synthetic=True, engines_agree=False, walk_forward_sharpe=None)
    assert "synthetic data, the fast engine disagrees with the reference and 1 more;" in said(evidence)


def test_settings_cannot_lower_the_floor_of_trades() -> None:
    lax = dataclasses.replace(SETTINGS, prescreen=dataclasses.replace(SETTINGS.prescreen, min_trades=5))
    evidence = dataclasses.replace(GOOD, out_of_sample=values(total_trades=29))
    assert [check.name for check in verdict.checks(evidence, lax) if not check.passed] == ["out_of_sample_trades"]
