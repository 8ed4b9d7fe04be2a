"""A tearsheet as plain JSON: everything its page, its picture and a comparison show, each number in one place.

The same strategy gives the same document to the bit: it holds no time of making and nothing of the machine.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from config.settings import Costs
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.report.tearsheet import curves, trading
from WORKFLOW.report.tearsheet.curves import Daily, moment, short
from WORKFLOW.validity.benchmark import holding
from WORKFLOW.validity.monte_carlo import MonteCarlo

if TYPE_CHECKING:
    from WORKFLOW.validity.finalist import Judged

KIND = "backtest-optimize tearsheet 1"
CANDIDATE, REJECTED, UNJUDGED = "candidate", "rejected", "unjudged"

Document = dict[str, Any]


def of_finalist(
    labels: dict[str, Any], best: str, judged: "Judged", family: str, costs: Costs, market: Market, split: int
) -> Document:
    """The document of a finalist; every figure that `metrics.json` or `validation.json` holds is taken from there."""
    found, whole = judged.validation, Window(0, len(market))
    daily = Daily(int(market.day[0]), metrics.daily_marks(judged.whole.equity, market, whole), costs.capital)
    held = metrics.daily_marks(holding(market, whole, costs), market, whole)
    checks = [
        {key: getattr(check, key) for key in ("name", "passed", "value", "threshold", "needed")}
        for check in found.checks
    ]
    notes = [
        "Equity, months, drawdowns and trades are one continuous run over all bars; in-sample and out-of-sample were"
        " each run on their own, from the capital and without a position, so a trade across the border is in neither.",
    ]
    if found.ambiguity.note:
        notes.append(f"Ambiguous bars: {found.ambiguity.note}.")
    if found.wicks.note:
        notes.append(f"Extreme wicks: {found.wicks.note}.")
    return {
        "kind": KIND,
        "strategy": {
            "name": best,
            "symbol": labels["symbol"],
            "mode": labels["mode"],
            "family": family,
            "synthetic": labels["synthetic"],
            "source": "finalist",
            "parameters": judged.trial.parameters,
            "costs": {"fee_rate": costs.fee_rate, "slippage_bps": costs.slippage_bps},
        },
        "period": {
            "from": moment(market.time_ms[0]),
            "to": moment(market.time_ms[-1]),
            "days": judged.full.days,
            "out_of_sample_from": moment(market.time_ms[split]),
        },
        "verdict": {
            "state": CANDIDATE if found.candidate else REJECTED,
            "line": judged.verdict,
            "checks": checks,
        },
        "notes": notes,
        "capital": costs.capital,
        "metrics": {name: getattr(judged, name).as_json() for name in ("full", "in_sample", "out_of_sample")},
        "buy_and_hold": found.buy_and_hold_json(),
        "chance": asdict(found.chance),
        **drawn(daily, (market.time_ms, judged.whole.equity), trading.Trades.of(judged.whole, market)),
        "held": short(held),
        "monte_carlo": {
            name: played_again(found.monte_carlo[name], returns)
            for name, returns in (
                ("in_sample", judged.in_sample_returns),
                ("out_of_sample", judged.out_of_sample_returns),
            )
        },
        "evidence": {
            "walk_forward": {
                name: {
                    "sharpe_ratio": one.sharpe_ratio,
                    "total_return": one.total_return,
                    "days": one.days,
                    "efficiency": asdict(one.efficiency),
                }
                for name, one in found.walk_forward.items()
            },
            "cross_validation": {
                "sharpe_ratio": asdict(found.cross_validation.sharpe_ratio),
                "probability_of_loss": found.cross_validation.probability_of_loss,
                "reason": found.cross_validation.reason,
            },
            "plateau": asdict(found.plateau),
            "look_ahead": {
                "proven": found.look_ahead.proven,
                "cuts": found.look_ahead.counts.cuts,
                "futures": found.look_ahead.counts.futures,
            },
            "by_regime": found.by_regime_json(),
        },
    }


def drawn(daily: Daily, marks: tuple[Any, Floats], trades: trading.Trades | None) -> Document:
    """What is drawn from equity and known trades; `marks`: epoch milliseconds and equity (n,), the finest there is."""
    return {
        "equity": curves.curve(*marks, daily.capital),
        "daily": {"first_day": str(daily.dates[0]), "equity": short(daily.equity)},
        "rolling_sharpe": curves.rolling_sharpe(daily),
        "months": curves.months(daily),
        "drawdowns": curves.deepest(daily),
        "trades": None if trades is None else trading.summary(trades),
    }


def played_again(found: MonteCarlo, returns: Floats) -> Document:
    """Monte Carlo of one window beside what happened (1 = start) at the days of the equity fan; None without a fan."""
    drawn_again, happened = found.block_bootstrap, np.cumprod(1.0 + returns)
    return {
        **found.as_json(),
        "observed": None if drawn_again is None else short([*happened[drawn_again.equity_fan.day]]),
    }
