"""The Sharpe ratio, deflated for the number of tries, the length of the sample, and days that are not normal.

Functions compute with daily Sharpe ratios; names that begin with `annual` mean annual ones (√365). Undefined is None.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.metrics import DAYS_PER_YEAR
from WORKFLOW.validity.chance import EULER_MASCHERONI

_NORMAL = NormalDist()
_FLOOR = 1e-18  # smallest variance that counts as movement; equal returns leave float noise
_MOST_TRIALS = 1e15


def expected_maximum(trials: float) -> float:
    """Return the expected maximum of so many independent standard normals (Bailey & López de Prado 2014, eq. 1).

    The result is at least 0, and `trials` need not be whole.
    """
    if trials <= 1.0:
        return 0.0
    first, second = 1.0 - 1.0 / trials, 1.0 - 1.0 / (trials * math.e)
    value = (1.0 - EULER_MASCHERONI) * _NORMAL.inv_cdf(first) + EULER_MASCHERONI * _NORMAL.inv_cdf(second)
    return max(0.0, value)


def effective_trials(expected: float, tried: int) -> float:
    """Return how many independent trials have the same expected maximum as `tried` correlated ones; from 1 to `tried`.

    `expected` is the mean of the maximum over all trials without skill, in standard errors, from a bootstrap that keeps
    their dependence. The function assumes neither clusters nor a common correlation.
    """
    low, high = 0.0, math.log(max(min(float(tried), _MOST_TRIALS), 1.0))
    if expected >= expected_maximum(math.exp(high)):
        return float(tried)
    for _ in range(80):  # bisection on the logarithm, since trials range from 1 to 1e15
        middle = (low + high) / 2
        low, high = (middle, high) if expected_maximum(math.exp(middle)) < expected else (low, middle)
    return math.exp((low + high) / 2)


@dataclass(frozen=True)
class Shape:
    """A daily Sharpe ratio, with the skewness and kurtosis of its days, which widen its standard error."""

    ratio: float
    skewness: float
    kurtosis: float

    @classmethod
    def of(cls, returns: Floats) -> "Shape | None":
        """Return the shape of (d,) daily returns; None below 3 days or without movement."""
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
        """Return the probability that the true daily Sharpe ratio exceeds `benchmark`, or None if undefined."""
        spread = 1.0 - self.skewness * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio**2
        if spread <= 0.0:
            return None
        return _NORMAL.cdf((self.ratio - benchmark) * math.sqrt((days - 1) / spread))

    def luck(self, days: int) -> float | None:
        """Return the probability that a strategy without skill shows `days` such days; None: undefined."""
        probability = self.probability(0.0, days)
        return None if probability is None else 1.0 - probability

    def ratio_for(self, errors: float, days: int) -> float | None:
        """Return the daily Sharpe ratio that lies so many standard errors above 0; None if no ratio does.

        The days have this skewness and kurtosis, and there are `days` of them.
        """
        if errors <= 0.0:
            return 0.0
        square = (days - 1) / errors**2 - (self.kurtosis - 1.0) / 4.0
        root = self.skewness**2 + 4.0 * square
        return (math.sqrt(root) - self.skewness) / (2.0 * square) if square > 0.0 and root >= 0.0 else None


def probabilistic_sharpe(returns: Floats, benchmark: float) -> float | None:
    """Return the probability that the true daily Sharpe ratio of (d,) daily returns exceeds `benchmark`.

    Skewness and kurtosis widen the error (Bailey & López de Prado 2012). None below 3 days or without movement.
    """
    shape = Shape.of(returns)
    return None if shape is None else shape.probability(benchmark, len(returns))


def deflated_sharpe(returns: Floats, trials: float) -> float | None:
    """Return the probability that the true Sharpe ratio exceeds what luck gives to the best of `trials` tries.

    The method is that of Bailey & López de Prado 2014, with one difference: the spread of luck is the standard error of
    a Sharpe ratio whose true value is 0, 1/√days, and not the spread among the trials. Otherwise the skill of some
    trials would count as luck. None below 3 days or without movement.
    """
    if len(returns) < 3:
        return None
    return probabilistic_sharpe(returns, expected_maximum(trials) / math.sqrt(len(returns) - 1))


def min_backtest_years(annual_sharpe: float, trials: float) -> float | None:
    """Return the years below which luck alone is expected to show so high an annual Sharpe ratio in `trials` tries.

    The formula is that of Bailey, Borwein, López de Prado & Zhu 2014. None for a ratio that is not positive, because no
    length is enough for it.
    """
    return (expected_maximum(trials) / annual_sharpe) ** 2 if annual_sharpe > 0.0 else None


def annual(daily: float) -> float:
    """Return a daily Sharpe ratio as an annual one."""
    return daily * math.sqrt(DAYS_PER_YEAR)
