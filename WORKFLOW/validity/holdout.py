"""What another look at a holdout could still show: whether the holdout is used up, and which bars make a new one."""

import math
import re
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist

from config.record import replace
from state.records.holdout import Holdout
from WORKFLOW.data.bars import DAY_MS, Floats
from WORKFLOW.data.find import find
from WORKFLOW.validity.history import History
from WORKFLOW.validity.search.deflated import Shape, annual

_FREQTRADE = re.compile(r"([A-Za-z0-9]+)_([A-Za-z0-9]+)(?:_([A-Za-z0-9]+))?-5m(?:-futures)?\.feather")


def after(
    history: History,
    in_sample_returns: Iterable[Floats],
    days: int,
    ceiling: float,
    holdout_fraction: float,
    before: Holdout | None = None,
) -> Holdout | None:
    """Return the state of the holdout after a round; None if no finalist that looked at it can be measured.

    `in_sample_returns` holds the daily returns (d,) of each finalist on the days it was selected on. `days` is the
    length of the holdout. `ceiling` is the largest p-value, times all looks, that is promoted. `before` is the state
    after the round before; its best finalist still counts.
    """
    shapes = [shape for returns in in_sample_returns if (shape := Shape.of(returns)) is not None]
    shapes += [] if before is None else [Shape(**before.best_shape)]
    lucks = [(luck, shape) for shape in shapes if (luck := shape.luck(days)) is not None]
    if not lucks:
        return None
    luck, best = min(lucks, key=lambda pair: pair[0])
    looks = history.count().looks
    allowed = ceiling / (looks + 1)  # the p-value that the next look needs
    daily = best.ratio_for(-NormalDist().inv_cdf(allowed), days) if 0.0 < allowed < 1.0 else None
    return Holdout(
        used_up=luck > allowed,
        looks=looks,
        days=days,
        needed_sharpe=None if daily is None else annual(daily),
        best_sharpe=annual(best.ratio),
        best_shape=asdict(best),
        free_from=free_from(history, holdout_fraction),
        way_out="",
    )


def free_from(history: History, holdout_fraction: float) -> str:
    """Return the first date up to which bars make a holdout with no day that anybody looked at or selected on.

    The bars begin where they begin now, and their last `holdout_fraction` is the holdout, which starts with a UTC day.
    """
    assert history.holdout is not None
    seen = [entry.span.last_ms for entry in history.ledger.entries() if entry.span.overlaps(history.holdout)]
    next_day_ms = (max(seen, default=history.holdout.last_ms) // DAY_MS + 1) * DAY_MS
    first_ms = history.in_sample.first_ms
    reach_ms = first_ms + (next_day_ms - first_ms) / (1.0 - holdout_fraction)
    return f"{datetime.fromtimestamp(math.ceil(reach_ms / DAY_MS) * DAY_MS / 1000, UTC):%Y-%m-%d}"


def told(holdout: Holdout, data_path: Path | None, symbol: str) -> Holdout:
    """Return `holdout` with its way out: the command that brings newer bars, from `scripts/fetch-data` or elsewhere."""
    if data_path is None:
        return holdout
    path = find(data_path, symbol)
    named = _FREQTRADE.fullmatch(path.name)
    until = f"{holdout.free_from} leave a new holdout"
    again = "then type the command again; or search another symbol, which has a holdout of its own"
    if named is None:
        brings = f"bring {path.name} up to date (scripts/fetch-data downloads bars, into a folder of their own)"
        return replace(holdout, way_out=f"bars up to {until}: {brings}, {again}")
    base, quote, settle = named.groups()
    market = f"{base}/{quote}" + (f":{settle}" if settle else "")
    folder = path.parent.parent if path.parent.name == "futures" else path.parent
    command = f"scripts/fetch-data --symbols {market} --data-path {shlex.quote(str(folder))}"
    return replace(holdout, way_out=f"bars up to {until}: {command}, {again}")
