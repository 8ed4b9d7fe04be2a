"""Probability of backtest overfitting by combinatorially symmetric cross-validation, over every combo of a search.

The method is that of Bailey, Borwein, López de Prado & Zhu, "The Probability of Backtest Overfitting", 2016: cut the
days into S blocks, take every half of the blocks as in-sample, choose the best combo there, and see how it ranks among
all combos on the other half. A Sharpe ratio needs only sums and sums of squares by block. So the 12,870 halves of 16
blocks take 16 pairs of numbers per combo, and not its daily returns.
"""

import math
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.jit import kernel
from WORKFLOW.engines.metrics import DAYS_PER_YEAR
from WORKFLOW.steps import exact
from WORKFLOW.steps.keep import Steps

BLOCKS = 16
_PART = 16_384  # combos of one step
_TILE = 128  # combos: their sums over all subsets of blocks take 1 MB, and stay in the cache while all halves go by
_FLOOR = 1e-18  # smallest variance that counts as movement; equal returns leave float noise, not 0


@exact.record
@dataclass(frozen=True)
class BlockSums:
    """Daily returns of k combos by block of days: `sums` and `squares` (blocks, k), `days` (blocks,)."""

    sums: Floats
    squares: Floats
    days: NDArray[np.int64]

    @classmethod
    def of(cls, returns: Floats, blocks: int = BLOCKS) -> "BlockSums":
        """Add up daily returns (k, d) without NaN; the lengths of the blocks differ by a day at most."""
        edges = edges_of(returns.shape[1], blocks)
        parts = [returns[:, a:b] for a, b in pairwise(edges)]
        return cls(
            np.stack([part.sum(axis=1) for part in parts]),
            np.stack([np.einsum("kd,kd->k", part, part) for part in parts]),
            np.diff(edges),
        )

    @classmethod
    def joined(cls, parts: "list[BlockSums]") -> "BlockSums":
        """Return the combos of all parts, one part after the other."""
        return cls(
            np.concatenate([part.sums for part in parts], axis=1),
            np.concatenate([part.squares for part in parts], axis=1),
            parts[0].days,
        )


@dataclass(frozen=True)
class Overfit:
    """The result of the test.

    `pbo`: how often the best combo of one half is below the median in the other half. `degradation`: the slope of the
    other half's Sharpe ratio over the chosen half's. `loss`: how often the chosen combo loses in the other half.
    """

    pbo: float
    splits: int
    blocks: int
    combos: int
    degradation: float | None
    loss: float
    median_in_sample: float
    median_out_of_sample: float

    def as_json(self) -> dict[str, Any]:
        """Return the record for `search.json`."""
        return asdict(self)


def edges_of(days: int, blocks: int) -> NDArray[np.int64]:
    """Return where `blocks` blocks of nearly equal length begin and end, (blocks + 1,)."""
    return np.arange(blocks + 1, dtype=np.int64) * days // blocks


def steps(combos: int) -> list[str]:
    """Return the names of the steps for at most this number of combos."""
    parts = range(-(-combos // _PART))
    return [*map(_choices, parts), *map(_ranks, parts)]


def probability(sums: BlockSums, threads: int = 1, steps: Steps | None = None) -> Overfit | None:
    """Return the probability of overfitting of k combos over S blocks.

    It is None if there is nothing to choose between: k < 2, or blocks of fewer than 2 days. A combo that does not move
    in a half has no Sharpe ratio there. It is never chosen there; as an outcome it is 0, because it neither won nor
    lost.
    """
    blocks, combos = sums.sums.shape
    if combos < 2 or sums.days.min() < 2:
        return None
    # Each mask is one half of the blocks, with a bit per block; its complement is the half that tests the choice.
    masks = np.array([sum(1 << b for b in half) for half in combinations(range(blocks), blocks // 2)])
    parts = [slice(first, min(first + _PART, combos)) for first in range(0, combos, _PART)]
    numbers, steps = range(len(parts)), steps or Steps()

    def best(number: int) -> tuple[Floats, NDArray[np.int64]]:
        part = parts[number]
        return _best(masks, sums.sums[:, part], sums.squares[:, part], sums.days)

    def below(number: int) -> Floats:
        part = parts[number]
        return _below(masks, outcome, sums.sums[:, part], sums.squares[:, part], sums.days)

    choices = steps.each([_choices(number) for number in numbers], best, threads)
    winner = np.argmax([scores for scores, _ in choices], axis=0)  # the first of equal ones
    inside = np.array([scores for scores, _ in choices])[winner, np.arange(len(masks))]
    chosen = np.array([at + part.start for (_, at), part in zip(choices, parts, strict=True)])
    chosen = chosen[winner, np.arange(len(masks))]
    known = np.isfinite(inside)  # in the other halves nothing moved, so there was nothing to choose
    if not known.any():
        return None
    masks, inside, chosen = masks[known], inside[known], chosen[known]
    outcome = _outcomes(masks, chosen, sums.sums, sums.squares, sums.days)
    less = np.full(len(masks), -0.5)  # removes the comparison of the chosen combo with itself, which counts half
    for counted in steps.each([_ranks(number) for number in numbers], below, threads):
        less += counted
    inside, outside = _ratio_of(inside), _ratio_of(outcome)
    # The relative rank of the chosen combo in the other half, in (0, 1); 0.5 is the median.
    rank = (less + 1.0) / (combos + 1.0)
    year = math.sqrt(DAYS_PER_YEAR)
    spread = float(np.var(inside))
    slope = float(np.cov(inside, outside, ddof=0)[0, 1]) / spread if spread > _FLOOR else None
    return Overfit(
        pbo=float(np.mean(rank <= 0.5)),
        splits=len(rank),
        blocks=blocks,
        combos=combos,
        degradation=slope,
        loss=float(np.mean(outside < 0.0)),
        median_in_sample=float(np.median(inside)) * year,
        median_out_of_sample=float(np.median(outside)) * year,
    )


def _choices(number: int) -> str:
    return f"overfitting, choices {number}"


def _ranks(number: int) -> str:
    return f"overfitting, ranks {number}"


def _ratio_of(score: Floats) -> Floats:
    """Return daily Sharpe ratios, given their signed squares."""
    return np.sign(score) * np.sqrt(np.abs(score))


@kernel
def _best(
    masks: NDArray[np.int64], sums: Floats, squares: Floats, days: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the best score in each half (h,), and the combo that has it."""
    best, chosen = np.full(len(masks), -np.inf), np.zeros(len(masks), np.int64)
    score = np.empty(_TILE)
    for first in range(0, sums.shape[1], _TILE):
        last = min(first + _TILE, sums.shape[1])
        low, high = _partial(sums, squares, first, last)
        for half in range(len(masks)):
            _scores(masks[half], low, high, days, last - first, score)
            for k in range(last - first):
                if score[k] > best[half]:
                    best[half], chosen[half] = score[k], first + k
    return best, chosen


@kernel
def _below(masks: NDArray[np.int64], outcome: Floats, sums: Floats, squares: Floats, days: NDArray[np.int64]) -> Floats:
    """Count the combos that score less than `outcome` outside of each half (h,); an equal score counts half."""
    below = np.zeros(len(masks))
    score = np.empty(_TILE)
    everything = (1 << len(days)) - 1
    for first in range(0, sums.shape[1], _TILE):
        last = min(first + _TILE, sums.shape[1])
        low, high = _partial(sums, squares, first, last)
        for half in range(len(masks)):
            _scores(everything ^ masks[half], low, high, days, last - first, score)
            mine, less, same = outcome[half], 0, 0
            # A combo that does not move in the half scores -inf, and counts as 0 here.
            for k in range(last - first):
                other = score[k] if score[k] != -np.inf else 0.0
                less += other < mine
                same += other == mine
            below[half] += less + 0.5 * same
    return below


@kernel
def _outcomes(
    masks: NDArray[np.int64], chosen: NDArray[np.int64], sums: Floats, squares: Floats, days: NDArray[np.int64]
) -> Floats:
    """Return what the chosen combo of each half scores outside of it; 0 if it does not move there."""
    outcome, score = np.zeros(len(masks)), np.empty(_TILE)
    everything = (1 << len(days)) - 1
    for half in range(len(masks)):
        low, high = _partial(sums, squares, chosen[half], chosen[half] + 1)
        _scores(everything ^ masks[half], low, high, days, 1, score)
        outcome[half] = score[0] if score[0] != -np.inf else 0.0
    return outcome


@kernel
def _partial(sums: Floats, squares: Floats, first: int, last: int) -> tuple[Floats, Floats]:
    """Add up some combos over every subset of the first half of the blocks (low), and of the second half (high).

    Each result has the shape (subsets, 2, combos), for sums and squares. Any set of blocks is then the sum of one entry
    of each.
    """
    blocks = len(sums)
    cut, count = blocks // 2, last - first
    low, high = np.zeros((1 << cut, 2, count)), np.zeros((1 << (blocks - cut), 2, count))
    for start, table in ((0, low), (cut, high)):
        for subset in range(1, len(table)):
            # A subset is an already known subset plus its lowest block, so each entry takes one addition.
            bit = 0
            while not subset >> bit & 1:
                bit += 1
            without, block = subset & (subset - 1), start + bit
            for k in range(count):
                table[subset, 0, k] = table[without, 0, k] + sums[block, first + k]
                table[subset, 1, k] = table[without, 1, k] + squares[block, first + k]
    return low, high


@kernel
def _scores(mask: int, low: Floats, high: Floats, days: NDArray[np.int64], count: int, score: Floats) -> None:
    """Score each combo by mean · |mean| / variance (ddof = 1) of its days in the blocks of `mask`.

    This is the signed square of the daily Sharpe ratio, and has the same order without a square root. The score is -inf
    if a combo does not move.
    """
    n = 0
    for block in range(len(days)):
        n += days[block] * (mask >> block & 1)
    cut = len(days) // 2
    a, b = low[mask & ((1 << cut) - 1)], high[mask >> cut]
    for k in range(count):
        total, power = a[0, k] + b[0, k], a[1, k] + b[1, k]
        mean = total / n
        variance = (power - total * mean) / (n - 1)
        score[k] = mean * abs(mean) / variance if variance > _FLOOR else -np.inf
