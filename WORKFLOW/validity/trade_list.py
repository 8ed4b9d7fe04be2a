"""What can be said for and against trades, or a curve, whose bars, rules and search nobody here has seen.

Such a list is never a candidate: look-ahead, other engines and the search itself cannot be put on trial. What fails,
fails; what is unknown is named with the flag that would tell.
"""

from dataclasses import dataclass

from config.settings import Settings
from hooks import trade_significance
from state.records.metrics import StatedMetrics
from WORKFLOW.data.bars import Floats
from WORKFLOW.validity.chance import chance_quantile, expected_max_sharpe
from WORKFLOW.validity.search.deflated import deflated_sharpe
from WORKFLOW.validity.verdict import VerdictCheck, least, most, number


@dataclass(frozen=True)
class Known:
    """Metrics and daily returns (d,) of the trades the strategy was chosen by, and of those it was not.

    `outside` is None when nobody said where unseen data begin, `tries` when nobody said how many strategies were tried.
    """

    inside: StatedMetrics
    inside_returns: Floats
    outside: StatedMetrics | None
    tries: int | None


def checks(known: Known, settings: Settings) -> list[VerdictCheck]:
    """All that can be asked; a check whose value is unknown is not passed."""
    floor, inside, outside = settings.verdict, known.inside, known.outside
    wanted = max(settings.prescreen.min_trades, trade_significance.MIN_TRADES)
    days = (inside.days or 0) + ((outside and outside.days) or 0)
    by_chance = known.tries and chance_quantile(known.tries, inside.days or 0, floor.chance_probability)
    deflated = known.tries and deflated_sharpe(known.inside_returns, known.tries)
    sharpe, fall = (outside.sharpe_ratio, outside.max_drawdown_pct) if outside else (None, None)
    inside_trades, outside_trades = inside.total_trades, outside.total_trades if outside else None
    return [
        least("days", days, settings.data.min_days, f"{days} of {settings.data.min_days} days"),
        least("in_sample_trades", inside_trades, wanted, f"{inside_trades} of {wanted} trades"),
        least(
            "out_of_sample_trades",
            outside_trades,
            wanted,
            f"{outside_trades} of {wanted} out-of-sample trades",
        ),
        least("out_of_sample_sharpe", sharpe, floor.min_out_of_sample_sharpe, f"out-of-sample Sharpe {number(sharpe)}"),
        most("out_of_sample_drawdown", fall, floor.max_drawdown_pct, f"out-of-sample drawdown {_percent(fall)}"),
        least(
            "beats_chance",
            inside.sharpe_ratio if known.tries else None,
            by_chance,
            f"in-sample Sharpe {number(inside.sharpe_ratio)} is within the reach of luck, {number(by_chance)}",
            f", which luck gives with probability {floor.chance_probability:g}",
        ),
        least(
            "deflated_sharpe",
            deflated,
            floor.min_deflated_sharpe,
            f"deflated Sharpe {'undefined' if deflated is None else f'{deflated:.3f}'}",
        ),
    ]


def line(known: Known, results: list[VerdictCheck]) -> str:
    """The verdict in one line."""
    luck = "" if known.tries is None else f"; {_chance(known)}"
    is_curve = known.inside.total_trades is None
    asked = {
        "out_of_sample": (
            known.outside is None,
            f"which {'days' if is_curve else 'trades'} were not used to choose it (--split DATE)",
        ),
        "chance": (known.tries is None, "how many strategies were tried (--tries N)"),
    }
    unasked = [name for name, (is_unknown, _) in asked.items() if is_unknown]
    unknown = [*unasked, *(["trades"] if is_curve else [])]
    failed = [check for check in results if not check.passed and not _is_of(check, unknown)]
    if failed:
        more = f" and {len(failed) - 2} more" if len(failed) > 2 else ""
        return f"not tradeable: {', '.join(check.if_failed for check in failed[:2])}{more}{luck}"
    if unasked:
        return f"not judged: nobody said {' or '.join(asked[name][1] for name in unasked)}{luck}"
    if is_curve:
        return f"not judged: a curve does not say how many trades it was made of{luck}"
    return f"holds up as far as a list of trades can tell: its bars, rules and search were not looked at{luck}"


def _is_of(check: VerdictCheck, unknown: list[str]) -> bool:
    """Whether nobody could pass it, since what it looks at was not said."""
    subjects = {"beats_chance": "chance", "deflated_sharpe": "chance", "in_sample_trades": "trades"}
    if check.name == "out_of_sample_trades" and "trades" in unknown:
        return True
    outside = "out_of_sample" if check.name.startswith("out_of_sample") else ""
    return subjects.get(check.name, outside) in unknown


def _chance(known: Known) -> str:
    best = expected_max_sharpe(known.tries or 1, known.inside.days or 0)
    return f"chance alone gives {number(best)} for {known.tries:,} tries"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.0%}"
