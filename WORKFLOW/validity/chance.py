"""What luck alone gives to somebody who tries often enough."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

from WORKFLOW.engines.metrics import DAYS_PER_YEAR

EULER_MASCHERONI = 0.5772156649015329


@dataclass(frozen=True)
class Chance:
    """What luck alone gives to so many tries over so many in-sample days: an annualised Sharpe ratio."""

    tries: int
    days: int
    expected_max_sharpe: float | None

    @classmethod
    def of(cls, tries: int, days: int) -> Self:
        """As `expected_max_sharpe` says."""
        return cls(tries, days, expected_max_sharpe(tries, days))


def expected_max_sharpe(tries: int, days: int) -> float | None:
    """Annualised Sharpe ratio that the best of `tries` skill-less strategies is expected to show over `days` days.

    The expected maximum of N independent Gaussians (Bailey & López de Prado, "The Deflated Sharpe Ratio", 2014, eq. 1),
    each with the standard error sqrt(365 / days) of an annualised Sharpe ratio whose true value is 0. Combos that
    resemble each other are fewer tries than they seem, which makes the true value smaller; a search that adapts to what
    it has seen makes it larger. Half of all noise markets exceed it: see `chance_quantile`. None below 2 days or 1 try.
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
    """The annualised Sharpe ratio that the best of `tries` skill-less strategies exceeds with `probability`.

    From the distribution of the maximum of N independent Gaussians, P(max <= x) = Φ(x)^N, with the standard error of
    `expected_max_sharpe`. None below 2 days or 1 try.
    """
    if days < 2 or tries < 1:
        return None
    tail = -math.expm1(math.log1p(-probability) / tries)  # 1 - (1 - p)^(1/N), exact also for large N
    return -NormalDist().inv_cdf(tail) * math.sqrt(DAYS_PER_YEAR / days)
