"""The public names of the GPU engine, which scripts that users have deployed import. Close is the first argument.

    from WORKFLOW.gpu_batch_engine import gpu_prescreen, precompute_mtf_data

Both functions take arrays, Series or one DataFrame, and compute the same from all of them (docs/reference/frames.md).

Importing this module loads no CUDA. `gpu_prescreen` screens on a GPU or refuses; it never uses the CPU instead.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if not __package__:  # `from gpu_batch_engine import …` in a script that lies beside this file
    try:
        import _bare
    except ModuleNotFoundError:
        raise ImportError(f"{__file__} was copied without its checkout: copy the whole checkout") from None

    _bare.stand_in(__name__)

import numpy as np
from numpy.typing import ArrayLike, NDArray

from config.errors import Refused
from config.settings import load
from WORKFLOW.data.bars import BAR_MS, BASE_MINUTES, ROW, Bars
from WORKFLOW.data.pandas_columns import columns_of, way_out_of
from WORKFLOW.data.ticks import infer_tick
from WORKFLOW.engines.market import Market
from WORKFLOW.mtf_resampler import Floats, Resampled, align_to_base_tf, refuse_swapped, resample_ohlc
from WORKFLOW.search import prescreen, space
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.prescreen import Prescreened

if TYPE_CHECKING:
    from WORKFLOW.data.pandas_columns import DataFrame

_YEAR_2200_MS = 7_258_118_400_000
ORDER = "the order is close, open_, high, low; or pass each by its name: close=…, open_=…, high=…, low=…"


@dataclass(frozen=True)
class MtfData:
    """One timeframe over n base bars.

    `buckets` holds its b finished buckets, float64 (b,) in the unit of the prices, with the base bar that closes each.
    `visible`, int32 (n,), is the last bucket that is finished at each base bar's close, −1 before there is any.

    Look-ahead: at the close of base bar i, a trader may know bucket `visible[i]` and those before it.
    `buckets.close[i]` is the close of bucket i, and not what is known at bar i.
    """

    buckets: Resampled
    visible: NDArray[np.int32]

    def at_base(self, values: ArrayLike, before: float = np.nan) -> Floats:
        """Return bucket values as they are seen at each base bar's close, float64 (n,).

        `values` (b,) has one value per bucket, such as an indicator of the closes. `before` stands where no bucket is
        finished yet.

        Raises:
            Refused: `values` does not have one value per bucket.
        """
        column = np.asarray(values, dtype=np.float64)
        if column.shape != (len(self.buckets),):
            raise Refused(f"values have the shape {column.shape}", f"pass one value a bucket: ({len(self.buckets)},)")
        return np.append(column, before)[self.visible]


def precompute_mtf_data(
    close: "ArrayLike | DataFrame",
    open_: ArrayLike | None = None,
    high: ArrayLike | None = None,
    low: ArrayLike | None = None,
    timeframes: Iterable[int] | None = None,
    base_minutes: int = 5,
    first_open_ms: int = 0,
) -> dict[int, MtfData]:
    """Return, for each timeframe in minutes, its buckets and what each base bar sees of them. Close comes FIRST.

    Args:
        close: base closes, (n,). All four columns need bars without holes and without NaN, and are used as float64.
        They are arrays, or Series of the same bars. Or pass one DataFrame alone that holds all four by name, in any
        case: `precompute_mtf_data(frame, timeframes=[15, 60])`.
        open_: base opens, (n,).
        high: base highs, (n,).
        low: base lows, (n,).
        timeframes: minutes, each a multiple of `base_minutes` that divides a day; duplicates are computed once.
        base_minutes: length of a base bar.
        first_open_ms: the OPEN of base bar 0, epoch milliseconds UTC. Buckets are aligned to 00:00 UTC, and a bucket
        that began before bar 0 is dropped. By default, bar 0 opens a bucket of every timeframe. Bars with a
        DatetimeIndex need no value here.

    Look-ahead: a bucket is visible from the base bar that closes it, and never on the bars that it is made of. The
    last, unfinished bucket is left out. Bars appended later change nothing that was visible.

    Raises:
        Refused: arrays are swapped (high or low contradict a bar; from 50 bars on, also if open and close are swapped),
            have unequal lengths, or hold NaN or infinity; a timeframe does not fit, or there is none; the first bar is
            off the grid; or `resample_ohlc` would refuse the pandas objects.
    """
    if not isinstance(timeframes, Iterable) or isinstance(timeframes, str):
        raise Refused(f"timeframes is {timeframes!r}", "pass the minutes of each, for example [15, 60, 240]")
    wanted = sorted({_whole("a timeframe", timeframe, "minutes") for timeframe in timeframes})
    base_minutes = _whole("base_minutes", base_minutes, "minutes")
    first_open_ms = _opened(first_open_ms)
    if not wanted:
        raise Refused("no timeframe is given", "pass the minutes of each, for example [15, 60, 240]")
    given = {"close": close, "open": open_, "high": high, "low": low}
    columns = columns_of(given, base_minutes, first_open_ms)
    first_open_ms = _opened(columns.first_open_ms)
    o, h, l, c = refuse_swapped(*columns.values, way_out=way_out_of(columns, ORDER))
    _refuse_non_prices(l)
    found = {}
    for minutes in wanted:
        buckets = resample_ohlc(o, h, l, c, minutes, base_minutes, first_open_ms)
        found[minutes] = MtfData(buckets, align_to_base_tf(buckets.closes_at, len(c)))
    return found


def gpu_prescreen(
    close: "ArrayLike | DataFrame",
    open_: ArrayLike | None = None,
    high: ArrayLike | None = None,
    low: ArrayLike | None = None,
    mode: str | None = None,
    n_combos: int | None = None,
    seed: int | None = None,
    first_open_ms: int = 0,
    gpu: int = 0,
    say: Callable[[str], None] = print,
) -> Prescreened:
    """Try `n_combos` of a mode's space on a GPU, and return the best by Sharpe ratio with enough trades.

    Args:
        close: closes of 5-minute bars, (n,). All four columns need bars without holes and without NaN, and are used as
        float64. Or pass one DataFrame alone, as for `precompute_mtf_data`: `gpu_prescreen(frame, mode="aggressive")`.
        open_: opens, (n,).
        high: highs, (n,).
        low: lows, (n,).
        mode: name of a mode in the settings; costs, `keep` and `min_trades` come from the settings, too.
        n_combos: combos to try; None: `prescreen.combos`.
        seed: seed of the draw; None: `run.seed`. The same seed gives the same combos on every engine.
        first_open_ms: the OPEN of bar 0, epoch milliseconds UTC; see `precompute_mtf_data`.
        gpu: number of the device.
        say: receives a line `Batch 1/…` after each batch.

    The result has `tried`, `eligible` and `best`, and iterates as records: `r.get("total_trades", 0)`. Trades and
    metrics are those of the reference engine.

    Look-ahead: the signal of a bar knows that bar's close and earlier ones; an order fills at the next open.

    Raises:
        Refused: arrays are swapped or hold NaN, the mode is unknown, no GPU can be used, or `resample_ohlc` would
            refuse the index; each message gives the way out.
    """
    if mode is None:
        raise Refused("mode is missing", 'name it: gpu_prescreen(frame, mode="aggressive")')
    market = Market.of(_bars(close, open_, high, low, _opened(first_open_ms)))
    settings = load()
    asked = settings.prescreen.combos if n_combos is None else _whole("n_combos", n_combos, "combos")
    if asked < 1:
        raise Refused(f"n_combos is {asked}", "try at least one combo")
    of = replace(settings.prescreen, combos=asked)
    drawn_from = settings.mode(mode)
    evaluator = Evaluator(market, space.family_of(drawn_from), settings.costs, "gpu", gpu)
    say(f"engine {evaluator.choice}")
    combos = space.Draw(drawn_from, asked, np.random.SeedSequence(settings.run.seed if seed is None else seed))

    def on_batch(batch: int, of_batches: int, now: prescreen.PrescreenProgress) -> None:
        say(f"Batch {batch}/{of_batches} · {now.tried:,} combos · {now.eligible:,} eligible")

    return prescreen.result(prescreen.run(evaluator, combos, of, 1, prescreen.PrescreenProgress(), on_batch), combos)


def _bars(close: Any, open_: Any, high: Any, low: Any, first_open_ms: int) -> Bars:
    given = {"close": close, "open": open_, "high": high, "low": low}
    columns = columns_of(given, BASE_MINUTES, first_open_ms)
    first_open_ms = _opened(columns.first_open_ms)
    o, h, l, c = refuse_swapped(*columns.values, way_out=way_out_of(columns, ORDER))
    if not len(c):
        raise Refused("no bars: there is nothing to trade on", "pass at least a few days of 5-minute bars")
    _refuse_non_prices(l)
    if first_open_ms % BAR_MS:
        raise Refused(f"first_open_ms {first_open_ms} is not on the 5-minute grid", "give the open of the first bar")
    rows = np.zeros(len(c), dtype=ROW)
    rows["time_ms"] = first_open_ms + np.arange(len(c)) * BAR_MS
    for name, column in (("open", o), ("high", h), ("low", l), ("close", c)):
        rows[name] = column
    return Bars("ARRAYS", rows, infer_tick(np.concatenate([o, h, l, c])), synthetic=False, source="arrays")


def _opened(first_open_ms: int) -> int:
    first_open_ms = _whole("first_open_ms", first_open_ms, "milliseconds")
    if not 0 <= first_open_ms < _YEAR_2200_MS:
        raise Refused(f"first_open_ms {first_open_ms} is no time before 2200", "pass milliseconds, not microseconds")
    return first_open_ms


def _refuse_non_prices(low: Floats) -> None:
    if len(low) and low.min() <= 0:
        raise Refused(f"low is {low.min():g} at bar {low.argmin()}", "prices are above zero; pass prices, not returns")


def _whole(name: str, value: object, unit: str) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise Refused(f"{name} of {value!r} is no whole number of {unit}", f"pass {unit}, 60 minutes for an hour")
