"""What a holdout shows of a strategy: the probability that a rule without an edge would trade it as well.

The p-value needs no normal returns, no minimum of trades and no estimate of skewness. It asks for one number that no
sample of wins can show: the worst that one more trade could have lost. With it, the p-value is exact where few, equal
wins are all that was seen, and it comes close to that of a t-test where trades are many and losses of all sizes were
seen (Gaffke 2005; Learned-Miller & Thomas 2019; Phan, Thomas & Learned-Miller 2021).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from config.settings import Costs
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.search.space import Parameters
from WORKFLOW.validity.bootstrap import stationary

_NODES = 400  # of the integral; twice as many change the 12th digit
_STEP = 0.01  # between two nodes, on the scale on which they are spread evenly
_HALVINGS = 200
_LEAST = 1e-12  # of the largest win or loss: a win below it proves nothing, and a smaller worst trade is taken as it


def luck(excess: Floats, worst: float) -> float:
    """Return the p-value of "the mean excess of a trade is at most 0", from the trades' excess returns (n,).

    `worst` is the least that a trade could have made, a negative fraction; a trade that made less takes its place. If
    each trade is drawn from the same distribution, whatever it is, with no value below `worst` and a mean of at most 0,
    a p-value below p is drawn with a probability of at most p. No trades give 1.

    The p-value is the probability that the trades and the worst one, weighted by n + 1 draws of a Dirichlet
    distribution with all parameters 1, have a mean of at most 0. The weights are exponential variables divided by their
    sum, so the sign of the weighted sum decides, and its distribution follows from its Laplace transform. The integral
    along the line through the saddle point has no cancellation, so tails of 1e-20 have ten digits.
    """
    values = np.append(np.asarray(excess, dtype=np.float64), min(worst, float(np.min(excess, initial=0.0))))
    if values.min() >= 0.0:
        raise ValueError(f"the worst trade makes {worst}: a trade that cannot lose has no p-value")
    values = values / float(np.max(np.abs(values)))
    if values.max() < _LEAST:
        return 1.0
    values[-1] = min(values[-1], -_LEAST)
    return _below_zero(values) if values.mean() > 0.0 else 1.0 - _below_zero(-values)


def _below_zero(values: Floats) -> float:
    """Return the probability that Σ value · exponential variable is at most 0; the mean of the values is not negative.

    It is 1/π · ∫ Re[exp(K(s)) / -s] dt along s = c + it for t > 0, where K is the logarithm of the transform, -Σ
    log(1 - s · value), and c < 0 is the saddle point. The nodes lie evenly on the scale u of t = width · sinh(π/2 ·
    sinh(u)), on which the trapezoidal rule converges exponentially (Takahasi & Mori 1974).
    """
    centre = _saddle(values)
    peak = -float(np.sum(np.log1p(-centre * values))) - math.log(-centre)
    width = 1.0 / math.sqrt(float(np.sum((values / (1.0 - centre * values)) ** 2)) + 1.0 / centre**2)
    even = np.arange(_NODES) * _STEP
    inner = np.pi / 2.0 * np.sinh(even)
    far = width * np.sinh(inner)
    slope = width * np.cosh(inner) * np.pi / 2.0 * np.cosh(even)
    line = centre + 1j * far
    height = np.exp(-np.log(-line) - peak - sum(np.log(1.0 - line * value) for value in values)).real * slope
    return math.exp(peak) * _STEP * float(height[0] / 2.0 + height[1:].sum()) / math.pi


def _saddle(values: Floats) -> float:
    """Return where the logarithm of the integrand is least on the real line, between 1 / min(values) and 0."""
    low, high = 1.0 / float(values.min()), 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        slope = float(np.sum(values / (1.0 - middle * values))) - 1.0 / middle
        low, high = (middle, high) if slope < 0.0 else (low, middle)
    return (low + high) / 2.0


@dataclass(frozen=True)
class HoldoutEvidence:
    """What the trades of one window show.

    `trades` counts those that were closed and the one that is open at the end. `mean_excess` and `worst` are fractions
    of equity for each trade; `drift` is the mean log return of a bar of the market. `p_value` is that of `luck`.
    """

    trades: int
    mean_excess: float | None
    worst: float
    drift: float
    p_value: float


def of_ledger(ledger: Ledger, market: Market, window: Window, parameters: Parameters, costs: Costs) -> HoldoutEvidence:
    """Return what the trades of `ledger` over `window` show of the strategy with these parameters."""
    drift = math.log(market.close[window.stop - 1] / market.open[window.start]) / (window.stop - window.start)
    excess = excess_of_trades(ledger, drift, costs.capital)
    worst = worst_trade(parameters, market, 2.0 * (costs.fee_rate + costs.slippage_bps / 10_000))
    mean = float(np.mean(excess)) if len(excess) else None
    return HoldoutEvidence(len(excess), mean, worst, drift, luck(excess, worst))


def excess_of_trades(ledger: Ledger, drift: float, capital: float) -> Floats:
    """Return what each trade made beyond holding the same side for as long on average, as fractions of equity (n,).

    `drift` is the mean log return of a bar over the window. So a rule that is only long while prices rise has no
    excess, whatever it made. A position that is open at the end is the last trade, marked at the last close. No record
    says which side it has, so it is held against the better one.
    """
    trades = ledger.trades
    bars = (trades["exit_bar"] - trades["entry_bar"]).astype(np.float64)
    excess = trades["net_pnl_pct"] - trades["side"] * np.expm1(drift * bars)
    if ledger.entries == len(trades) or ledger.ruined:
        return np.asarray(excess, dtype=np.float64)
    kept = float(np.prod(1.0 + trades["net_pnl_pct"]))
    still_open = ledger.equity[-1] / (capital * kept) - 1.0
    return np.append(excess, still_open - np.expm1(abs(drift) * (ledger.held_bars - float(bars.sum()))))


def worst_trade(parameters: Parameters, market: Market, costs: float) -> float:
    """Return the worst that a trade could have made on these bars, as a negative fraction of equity.

    A stop or a trailing stop limits the loss to itself and the worst gap between a close and the next open. Without
    one, the loss is the worst move against a position over `max_bars` bars (0: over all). `costs` of both sides are
    added.
    """
    gap = float(np.max(np.abs(market.open[1:] / market.close[:-1] - 1.0), initial=0.0))
    stops = (float(parameters[name]) for name in ("stop_loss", "trailing_stop"))
    limits = [stop + gap for stop in stops if stop > 0.0]
    if not limits:
        limits = [_worst_move(market, int(parameters["max_bars"]) or len(market))]
    return -min(min(limits) + costs, 1.0)


def _worst_move(market: Market, bars: int) -> float:
    """Return the largest loss of a long or a short position that was held for at most `bars` bars, as a fraction."""
    longest = min(bars, len(market))
    low, high = _extreme(market.low, longest, np.minimum), _extreme(market.high, longest, np.maximum)
    return float(max(np.max(1.0 - low / market.open), np.max(high / market.open - 1.0), 0.0))


def _extreme(prices: Floats, bars: int, pick: np.ufunc) -> Floats:
    """Return the least or the greatest price of each bar and the `bars` - 1 after it, (n,), by doubling."""
    found, reach = prices.copy(), 1
    while reach < bars:
        step = min(reach, bars - reach)
        found[:-step] = pick(found[:-step], found[step:])
        reach += step
    return found


def family(
    p_values: Sequence[float], days: Floats, draws: int, block_days: int, seed: np.random.SeedSequence
) -> Floats:
    """Return the p-values (k,) of k strategies that were looked at together, adjusted for each other.

    `days` holds their daily returns (k, d) over the same days. The probability that any strategy without an edge gets
    an adjusted p-value below p is at most p. The adjustment is Romano & Wolf's step-down (2005) of the smallest
    p-value: the days are drawn again in blocks, the same ones for all strategies, and each draw of a strategy is ranked
    among its own draws. So copies of one strategy cost nothing, and strangers cost what Holm's method asks.
    """
    known, (strategies, length) = np.asarray(p_values, dtype=np.float64), days.shape
    centred = days - days.mean(axis=1, keepdims=True)
    ratios = np.empty((strategies, draws))
    for number, drawn in enumerate(stationary(length, block_days, draws, np.random.default_rng(seed))):
        sample = centred[:, drawn]
        spread = sample.std(axis=1)
        ratios[:, number] = np.divide(sample.mean(axis=1), spread, out=np.zeros(strategies), where=spread > 0.0)
    # The share of a strategy's own draws that are as good: as a p-value of that draw, uniform by construction.
    ranks = (draws - np.argsort(np.argsort(ratios, axis=1, kind="stable"), axis=1, kind="stable")) / draws
    adjusted, before = np.empty(strategies), 0.0
    left = np.argsort(known, kind="stable")
    for place, one in enumerate(left):
        best = ranks[left[place:]].min(axis=0)
        as_good = (1.0 + float(np.sum(best <= known[one]))) / (1.0 + draws)
        bound = min(1.0, known[one] * (strategies - place))  # Holm's, which resampling can only lower
        before = max(before, min(bound, max(as_good, known[one])))
        adjusted[one] = before
    return adjusted
