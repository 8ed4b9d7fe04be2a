"""One plain line for each result, the same everywhere, and the checks behind it. Fail-closed: what is unknown fails."""

from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from hooks import trade_significance
from WORKFLOW.validity.chance import chance_quantile, expected_max_sharpe


@dataclass(frozen=True)
class Check:
    """One question and its answer; `if_failed` is what the verdict line says when it is not passed."""

    name: str
    passed: bool
    value: float | int | bool | None
    needed: str
    if_failed: str


@dataclass(frozen=True)
class Evidence:
    """What the checks look at, of one strategy."""

    in_sample: dict[str, Any]
    out_of_sample: dict[str, Any]
    walk_forward_sharpe: float | None
    engines_agree: bool
    looks_ahead: str | None  # what a changed future changed; None when proven that it changes nothing
    ruined: bool  # in a window or in the continuous run
    synthetic: bool
    tries: int


def checks(evidence: Evidence, settings: Settings) -> list[Check]:
    """All checks, in the order in which a reader wants to hear of them."""
    floor, wanted = settings.verdict, settings.prescreen.min_trades
    inside, outside = evidence.in_sample, evidence.out_of_sample
    luck = chance_quantile(evidence.tries, inside["days"], floor.chance_probability)
    enough_inside = trade_significance.judge(inside["total_trades"], wanted, "in-sample")
    enough_outside = trade_significance.judge(outside["total_trades"], wanted, "out-of-sample")
    return [
        Check("real_data", not evidence.synthetic, not evidence.synthetic, "real bars", "synthetic data"),
        Check(
            "no_look_ahead",
            evidence.looks_ahead is None,
            evidence.looks_ahead is None,
            "the same past, whatever the future",
            evidence.looks_ahead or "",
        ),
        Check(
            "engines_agree",
            evidence.engines_agree,
            evidence.engines_agree,
            "fast engine = reference engine",
            "the fast engine disagrees with the reference",
        ),
        Check(
            "out_of_sample_sharpe",
            _at_least(outside["sharpe_ratio"], floor.min_out_of_sample_sharpe),
            outside["sharpe_ratio"],
            f">= {floor.min_out_of_sample_sharpe:g}",
            f"out-of-sample Sharpe {_number(outside['sharpe_ratio'])}",
        ),
        Check(
            "in_sample_trades",
            enough_inside.passed,
            inside["total_trades"],
            f">= {wanted} trades",
            enough_inside.reason,
        ),
        Check(
            "out_of_sample_trades",
            enough_outside.passed,
            outside["total_trades"],
            f">= {wanted} trades",
            enough_outside.reason,
        ),
        Check(
            "beats_chance",
            luck is not None and _at_least(inside["sharpe_ratio"], luck),
            inside["sharpe_ratio"],
            f">= {_number(luck)}, which luck gives with probability {floor.chance_probability:g}",
            f"in-sample Sharpe {_number(inside['sharpe_ratio'])} is within the reach of luck, {_number(luck)}",
        ),
        Check(
            "walk_forward_sharpe",
            _at_least(evidence.walk_forward_sharpe, floor.min_walk_forward_sharpe),
            evidence.walk_forward_sharpe,
            f">= {floor.min_walk_forward_sharpe:g}",
            f"walk-forward Sharpe {_number(evidence.walk_forward_sharpe)}",
        ),
        Check(
            "out_of_sample_drawdown",
            outside["max_drawdown_pct"] is not None and outside["max_drawdown_pct"] <= floor.max_drawdown_pct,
            outside["max_drawdown_pct"],
            f"<= {floor.max_drawdown_pct:.0%}",
            f"out-of-sample drawdown {_percent(outside['max_drawdown_pct'])}",
        ),
        Check("not_ruined", not evidence.ruined, not evidence.ruined, "equity above 0", "ruined"),
    ]


def line(evidence: Evidence, results: list[Check]) -> str:
    """The verdict in one line."""
    luck = _chance_words(evidence.tries, evidence.in_sample["days"])
    failed = [check for check in results if not check.passed]
    if failed:
        more = f" and {len(failed) - 2} more" if len(failed) > 2 else ""
        return f"not tradeable: {', '.join(check.if_failed for check in failed[:2])}{more}; {luck}"
    inside, outside = evidence.in_sample, evidence.out_of_sample
    return (
        f"candidate: out-of-sample Sharpe {_number(outside['sharpe_ratio'])} over {outside['days']} days, "
        f"in-sample {_number(inside['sharpe_ratio'])}; {luck}"
    )


def nothing_line(tries: int, most_trades: int, minimum: int, days_without_signal: float | None = None) -> str:
    """The verdict of a search that found no strategy to judge.

    `days_without_signal`: in-sample days in which no trial was ever long or short, None when one was.
    """
    line = f"not tradeable: none of {tries:,} tries closed {minimum} trades in-sample (the most: {most_trades})"
    if days_without_signal is None:
        return line
    why = f"the indicators take longer than {days_without_signal:,.0f} in-sample days to warm up"
    return f"{line}: no trial had a signal, {why}; take shorter periods or give more bars"


def _chance_words(tries: int, days: int) -> str:
    return f"chance alone gives {_number(expected_max_sharpe(tries, days))} for {tries:,} tries"


def _at_least(value: float | None, floor: float) -> bool:
    return value is not None and value >= floor


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{round(value, 1) + 0.0:.1f}"  # + 0.0: no minus before a zero


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.0%}"
