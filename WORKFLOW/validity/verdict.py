"""The verdict: one plain line for each result, the same everywhere, and the checks behind it.

An unknown value fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from config.settings import Settings
from hooks import trade_significance
from state.records.metrics import Metrics
from WORKFLOW.engines.metrics import DAYS_PER_YEAR
from WORKFLOW.validity.chance import chance_quantile, expected_max_sharpe


@dataclass(frozen=True)
class VerdictCheck:
    """One question and its answer. `if_failed` is what the verdict line says when the check is not passed.

    `needed` says in words what passes. `threshold` is the number that `value` is compared with; None for a yes-or-no
    question, or if that number is unknown.
    """

    name: str
    passed: bool
    value: float | int | bool | None
    threshold: float | None
    needed: str
    if_failed: str


@dataclass(frozen=True)
class WindowFigures:
    """The metrics of one window that the checks look at; units as in `Metrics`."""

    sharpe_ratio: float | None
    max_drawdown_pct: float | None
    total_trades: int
    days: int

    @classmethod
    def of(cls, values: Metrics) -> Self:
        """Take these metrics from all metrics of the window."""
        return cls(**{one.name: getattr(values, one.name) for one in fields(cls)})

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> Self:
        """Read these from a window of `metrics.json`; other metrics there, known or not, are ignored.

        Raises:
            KeyError: one of them is missing.
        """
        return cls(**{one.name: record[one.name] for one in fields(cls)})


@dataclass(frozen=True)
class FinalistEvidence:
    """The values of one strategy that the checks look at. None means unknown, and unknown fails."""

    in_sample: WindowFigures
    out_of_sample: WindowFigures
    walk_forward_sharpe: float | None
    walk_forward_efficiency: float | None
    plateau: float | None  # share of the nearest neighbours with at least half of its Sharpe ratio
    engines_agree: bool
    looks_ahead: str | None  # what a changed future changed; None if it provably changes nothing
    ruined: bool  # in a window or in the continuous run over all bars
    synthetic: bool
    tries: int
    deflated_sharpe: float | None
    min_backtest_years: float | None
    overfitting: float | None  # probability, of the whole search
    luck: float | None  # p-value of the whole search, Hansen's test
    placebo: float | None  # p-value of the whole search, shuffled markets
    buy_and_hold_sharpe: float | None  # out-of-sample, net
    allowed_wicks: int = 0  # prices that no neighbouring bar reaches and that the operator has allowed
    sharpe_without_wicks: float | None = None  # out-of-sample, without the trades on extreme wicks


def checks(evidence: FinalistEvidence, settings: Settings) -> list[VerdictCheck]:
    """Return all checks, in the order in which a reader wants to hear of them."""
    floor = settings.verdict
    outside = evidence.out_of_sample
    return [
        _yes("real_data", not evidence.synthetic, "real bars", "synthetic data"),
        _yes(
            "no_look_ahead",
            evidence.looks_ahead is None,
            "the same past, whatever the future",
            evidence.looks_ahead or "",
        ),
        _yes(
            "engines_agree",
            evidence.engines_agree,
            "fast engine = reference engine",
            "the fast engine disagrees with the reference",
        ),
        least(
            "out_of_sample_sharpe",
            outside.sharpe_ratio,
            floor.min_out_of_sample_sharpe,
            f"out-of-sample Sharpe {number(outside.sharpe_ratio)}",
        ),
        *_trades(evidence, settings),
        *_against_luck(evidence, settings),
        least(
            "walk_forward_sharpe",
            evidence.walk_forward_sharpe,
            floor.min_walk_forward_sharpe,
            f"walk-forward Sharpe {number(evidence.walk_forward_sharpe)}",
        ),
        least(
            "walk_forward_efficiency",
            evidence.walk_forward_efficiency,
            floor.min_walk_forward_efficiency,
            f"walk-forward keeps {_percent(evidence.walk_forward_efficiency)} of the in-sample Sharpe",
        ),
        least(
            "plateau",
            evidence.plateau,
            floor.min_plateau,
            f"{_percent(evidence.plateau)} of its neighbours have half of its Sharpe",
        ),
        least(
            "beats_buy_and_hold",
            outside.sharpe_ratio,
            evidence.buy_and_hold_sharpe,
            f"out-of-sample Sharpe {number(outside.sharpe_ratio)}, "
            f"buying and holding has {number(evidence.buy_and_hold_sharpe)}",
        ),
        most(
            "out_of_sample_drawdown",
            outside.max_drawdown_pct,
            floor.max_drawdown_pct,
            f"out-of-sample drawdown {_percent(outside.max_drawdown_pct)}",
        ),
        _yes("not_ruined", not evidence.ruined, "equity above 0", "ruined"),
        *_without_wicks(evidence, settings),
    ]


def _trades(evidence: FinalistEvidence, settings: Settings) -> list[VerdictCheck]:
    wanted = max(settings.prescreen.min_trades, trade_significance.MIN_TRADES)
    checks = []
    for name, where, figures in (
        ("in_sample", "in-sample", evidence.in_sample),
        ("out_of_sample", "out-of-sample", evidence.out_of_sample),
    ):
        count = figures.total_trades
        verdict = trade_significance.judge(count, wanted, where)
        checks.append(
            VerdictCheck(f"{name}_trades", verdict.passed, count, wanted, f">= {wanted} trades", verdict.reason)
        )
    return checks


def _against_luck(evidence: FinalistEvidence, settings: Settings) -> list[VerdictCheck]:
    """Return checks against what luck gives to the best of so many tries; the last four look at the whole search."""
    floor, inside = settings.verdict, evidence.in_sample
    by_chance = chance_quantile(evidence.tries, inside.days, floor.chance_probability)
    years = inside.days / DAYS_PER_YEAR
    return [
        least(
            "beats_chance",
            inside.sharpe_ratio,
            by_chance,
            f"in-sample Sharpe {number(inside.sharpe_ratio)} is within the reach of luck, {number(by_chance)}",
            f", which luck gives with probability {floor.chance_probability:g}",
        ),
        least(
            "deflated_sharpe",
            evidence.deflated_sharpe,
            floor.min_deflated_sharpe,
            f"deflated Sharpe {_fraction(evidence.deflated_sharpe)}",
        ),
        most(
            "long_enough",
            evidence.min_backtest_years,
            years,
            f"{years:.1f} in-sample years are too short for that Sharpe after so many tries",
            " in-sample years: so many it takes to tell that Sharpe from luck",
        ),
        most(
            "overfitting",
            evidence.overfitting,
            floor.max_overfitting,
            f"probability of overfitting {_percent(evidence.overfitting)}",
        ),
        most(
            "luck",
            evidence.luck,
            floor.max_luck,
            f"luck gives as good a best of all combos with p = {_fraction(evidence.luck)}",
        ),
        most(
            "placebo",
            evidence.placebo,
            floor.max_placebo,
            f"shuffled markets give as good a best with p = {_fraction(evidence.placebo)}",
        ),
    ]


def _without_wicks(evidence: FinalistEvidence, settings: Settings) -> list[VerdictCheck]:
    """Return the check that is made only if the operator has allowed prices at which perhaps nobody traded."""
    if not evidence.allowed_wicks:
        return []
    message = f"without trades on extreme wicks the out-of-sample Sharpe is {number(evidence.sharpe_without_wicks)}"
    return [
        least("sharpe_without_wicks", evidence.sharpe_without_wicks, settings.verdict.min_out_of_sample_sharpe, message)
    ]


def line(evidence: FinalistEvidence, results: list[VerdictCheck]) -> str:
    """Return the verdict as one line."""
    luck = _chance_words(evidence.tries, evidence.in_sample.days)
    if evidence.allowed_wicks:
        prices = "1 price" if evidence.allowed_wicks == 1 else f"{evidence.allowed_wicks:,} prices"
        luck += f"; allowed: {prices} that no neighbouring bar reaches"
    failed = [check for check in results if not check.passed]
    if failed:
        more = f" and {len(failed) - 2} more" if len(failed) > 2 else ""
        return f"not tradeable: {', '.join(check.if_failed for check in failed[:2])}{more}; {luck}"
    inside, outside = evidence.in_sample, evidence.out_of_sample
    return (
        f"candidate: out-of-sample Sharpe {number(outside.sharpe_ratio)} over {outside.days} days, "
        f"in-sample {number(inside.sharpe_ratio)}; {luck}"
    )


def nothing_line(
    tries: int, most_trades: int, minimum: int, days_without_signal: float | None = None, moves: bool = True
) -> str:
    """Return the verdict of a search that found no strategy to judge.

    `days_without_signal` is the number of in-sample days if no trial was ever long or short, and None if one was.
    `moves` says whether the in-sample close ever changes.
    """
    line = f"not tradeable: none of {tries:,} tries closed {minimum} trades in-sample (the most: {most_trades})"
    if days_without_signal is None:
        return line
    if not moves:
        return f"{line}: no trial had a signal, the price never changes in {days_without_signal:,.0f} in-sample days"
    why = f"the indicators take longer than {days_without_signal:,.0f} in-sample days to warm up"
    return f"{line}: no trial had a signal, {why}; take shorter periods or give more bars"


def _chance_words(tries: int, days: int) -> str:
    return f"chance alone gives {number(expected_max_sharpe(tries, days))} for {tries:,} tries"


def _yes(name: str, passed: bool, needed: str, if_failed: str) -> VerdictCheck:
    return VerdictCheck(name, passed, passed, None, needed, if_failed)


def least(name: str, value: float | None, floor: float | None, if_failed: str, why: str = "") -> VerdictCheck:
    """Check that `value` is known and at least `floor`."""
    passed = value is not None and floor is not None and value >= floor
    return VerdictCheck(name, passed, value, floor, f">= {_short(floor)}{why}", if_failed)


def most(name: str, value: float | None, ceiling: float, if_failed: str, why: str = "") -> VerdictCheck:
    """Check that `value` is known and at most `ceiling`."""
    passed = value is not None and value <= ceiling
    return VerdictCheck(name, passed, value, ceiling, f"<= {_short(ceiling)}{why}", if_failed)


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"


def _fraction(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def number(value: float | None) -> str:
    """Format a Sharpe ratio as verdicts show it."""
    return "undefined" if value is None else f"{round(value, 1) + 0.0:.1f}"  # + 0.0 removes the minus of -0.0


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.0%}"
