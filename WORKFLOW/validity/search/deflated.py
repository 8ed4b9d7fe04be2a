"""The Sharpe ratio after allowing for how many were tried, how long, and how far from normal the days are.

Daily Sharpe ratios inside, annual ones (√365) where a name says so. Undefined is None.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.metrics import DAYS_PER_YEAR
from WORKFLOW.validity.chance import EULER_MASCHERONI

_NORMAL = NormalDist()
_FLOOR = 1e-18
_MOST_TRIALS = 1e15


def expected_maximum(trials: float) -> float:
    """Of so many independent standard normals (Bailey & López de Prado 2014, eq. 1), at least 0; trials need not be
    whole."""
    if trials <= 1.0:
        return 0.0
    first, second = 1.0 - 1.0 / trials, 1.0 - 1.0 / (trials * math.e)
    value = (1.0 - EULER_MASCHERONI) * _NORMAL.inv_cdf(first) + EULER_MASCHERONI * _NORMAL.inv_cdf(second)
    return max(0.0, value)


def effective_trials(expected: float, tried: int) -> float:
    """How many independent trials have the same expected maximum as `tried` correlated ones; from 1 to `tried`.

    `expected`: the mean of the maximum over all trials, in standard errors, when none has merit, as a bootstrap that
    keeps their dependence finds it. Nothing is assumed of clusters or of a common correlation.
    """
    low, high = 0.0, math.log(max(min(float(tried), _MOST_TRIALS), 1.0))
    if expected >= expected_maximum(math.exp(high)):
        return float(tried)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_maximum(math.exp(middle)) < expected else (low, middle)
    return math.exp((low + high) / 2)


@dataclass(frozen=True)
class Shape:
    """A daily Sharpe ratio with what widens its error: the skewness and kurtosis of the days it is of."""

    ratio: float
    skewness: float
    kurtosis: float

    @classmethod
    def of(cls, returns: Floats) -> "Shape | None":
        """That of (d,) daily returns. None below 3 days or without movement."""
        n = len(returns)
        if n < 3:
            return None
        centred = returns - returns.mean()
        variance = float(np.mean(centred**2))
        if variance <= _FLOOR:
            return None
        ratio = float(returns.mean()) / math.sqrt(variance * n / (n - 1))
        skewness = float(np.mean(centred**3)) / variance**1.5
        kurtosis = float(np.mean(centred**4)) / variance**2
        return cls(ratio, skewness, kurtosis)

    def probability(self, benchmark: float, days: int) -> float | None:
        """That the true daily Sharpe ratio exceeds `benchmark` when so many days show this one. None: undefined."""
        spread = 1.0 - self.skewness * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio**2
        if spread <= 0.0:
            return None
        return _NORMAL.cdf((self.ratio - benchmark) * math.sqrt((days - 1) / spread))

    def luck(self, days: int) -> float | None:
        """Probability that a strategy without merit shows such days, so many of them. None: undefined."""
        probability = self.probability(0.0, days)
        return None if probability is None else 1.0 - probability

    def ratio_for(self, errors: float, days: int) -> float | None:
        """The daily Sharpe ratio that lies so many standard errors above 0 over so many days of this skewness and
        kurtosis. None: no ratio does."""
        if errors <= 0.0:
            return 0.0
        square = (days - 1) / errors**2 - (self.kurtosis - 1.0) / 4.0
        root = self.skewness**2 + 4.0 * square
        return (math.sqrt(root) - self.skewness) / (2.0 * square) if square > 0.0 and root >= 0.0 else None


def probabilistic_sharpe(returns: Floats, benchmark: float) -> float | None:
    """Probability that the true daily Sharpe ratio of (d,) daily returns exceeds `benchmark` (Bailey & López de Prado
    2012): skewness and kurtosis widen its error. None below 3 days or without movement."""
    shape = Shape.of(returns)
    return None if shape is None else shape.probability(benchmark, len(returns))


def deflated_sharpe(returns: Floats, trials: float) -> float | None:
    """Probability that the true Sharpe ratio exceeds what luck gives to the best of `trials` independent tries
    (Bailey & López de Prado 2014).

    Luck's spread is the standard error of a Sharpe ratio whose true value is 0, 1/√days, and not the spread among the
    trials: where some have merit, theirs would be counted as luck.
    """
    if len(returns) < 3:
        return None
    return probabilistic_sharpe(returns, expected_maximum(trials) / math.sqrt(len(returns) - 1))


def min_backtest_years(annual_sharpe: float, trials: float) -> float | None:
    """Years below which luck alone is expected to show the best of `trials` tries an annual Sharpe ratio this high
    (Bailey, Borwein, López de Prado & Zhu 2014). None for one that is not positive: no length is enough."""
    return (expected_maximum(trials) / annual_sharpe) ** 2 if annual_sharpe > 0.0 else None


def annual(daily: float) -> float:
    """A daily Sharpe ratio as an annual one."""
    return daily * math.sqrt(DAYS_PER_YEAR)
