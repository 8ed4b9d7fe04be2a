"""Compute what luck alone gives to many tries."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

from WORKFLOW.engines.metrics import DAYS_PER_YEAR

EULER_MASCHERONI = 0.5772156649015329


@dataclass(frozen=True)
class Chance:
    """The annualised Sharpe ratio that luck alone gives to `tries` over `days` in-sample days; None if undefined."""

    tries: int
    days: int
    expected_max_sharpe: float | None

    @classmethod
    def of(cls, tries: int, days: int) -> Self:
        """Return the chance for these numbers; see `expected_max_sharpe`."""
        return cls(tries, days, expected_max_sharpe(tries, days))


def expected_max_sharpe(tries: int, days: int) -> float | None:
    """Return the annualised Sharpe ratio that the best of `tries` strategies without skill is expected to show.

    It is the expected maximum of N independent Gaussians (Bailey & López de Prado, "The Deflated Sharpe Ratio", 2014,
    eq. 1), each with the standard error sqrt(365 / days) of an annualised Sharpe ratio whose true value is 0. Combos
    that resemble each other count as fewer tries than they are, so the true value is smaller; a search that adapts to
    its results makes the true value larger. Half of all noise markets exceed this value: see `chance_quantile`. Returns
    None below 2 days or 1 try.
    """
    if days < 2 or tries < 1:
        return None
    error = math.sqrt(DAYS_PER_YEAR / days)
    if tries == 1:
        return 0.0
    normal = NormalDist()
    first = normal.inv_cdf(1 - 1 / tries)
    second = normal.inv_cdf(1 - 1 / (tries * math.e))
    return error * ((1 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)


def chance_quantile(tries: int, days: int, probability: float) -> float | None:
    """Return the annualised Sharpe ratio that the best of `tries` strategies without skill exceeds with `probability`.

    It follows from the distribution of the maximum of N independent Gaussians, P(max <= x) = Φ(x)^N, with the standard
    error of `expected_max_sharpe`. Returns None below 2 days or 1 try.
    """
    if days < 2 or tries < 1:
        return None
    tail = -math.expm1(math.log1p(-probability) / tries)  # 1 - (1 - p)^(1/N), computed so that large N lose no digits
    return -NormalDist().inv_cdf(tail) * math.sqrt(DAYS_PER_YEAR / days)
