"""Estimate how long a run still takes, as a band, from what comparable phases cost on this machine.

Comparable is the same phase of another unit or another round of this run, or of an earlier run with the same settings.
Without such evidence there is no estimate. Only the counters of prescreens and searches run evenly. The counter of a
validation does not (its first 60 of 64 steps took 60 to 75 % of its time), so it does not tell when the validation
ends.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TypedDict

from agents.model.world import World
from agents.rules import holdouts
from state.records.jobs import PHASES
from state.records.orders import SwarmOrder
from state.records.timeline import Cost, Unit

_EVEN = ("prescreen", "search")  # phases whose counters run evenly
# phases that take about a second: without evidence, a tenth of the other phases is assumed
_SHORT = ("merge", "report")
_SURE = 0.25  # share of an even phase from which on its own counter says more than comparable phases
# The width of the band around the mean of comparable phases: within a run, other load on the machine made the same
# phases so much cheaper or dearer. With it, the band was right at every look at four recorded runs, which a test
# replays.
_LEAST, _MOST = 0.6, 1.8
_OVERDUE = 0.35  # share of its cost so far that a phase may still need when it takes longer than comparable ones
_WIDEST = 4.0  # when the end of a band is more than this many times its beginning, only the end is told


class BandRow(TypedDict):
    """A band as `status --json` holds it, in seconds."""

    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """A span of seconds: at least `low_s`, at most `high_s`."""

    low_s: float
    high_s: float

    def __add__(self, other: "Band") -> "Band":
        return Band(self.low_s + other.low_s, self.high_s + other.high_s)

    def as_json(self) -> BandRow:
        """Return the band as `status --json` prints it."""
        return {"low": round(self.low_s, 1), "high": round(self.high_s, 1)}


NOTHING = Band(0.0, 0.0)


@dataclass(frozen=True)
class PhaseCosts:
    """What phases cost in this round (`here`) and in earlier rounds and runs (`before`).

    `done` holds the share of each phase that is done; it is used for even phases only.
    """

    here: Mapping[tuple[Unit, str], Cost]
    before: tuple[Cost, ...] = ()
    done: Mapping[tuple[Unit, str], float] | None = None
    bars: Mapping[str, int] | None = None  # symbol → how many bars it has

    def of(self, phase: str, symbol: str) -> Band | None:
        """Return what this phase costs for one unit, in machine-seconds; None without evidence."""
        return _around([cost.machine_s * self._times(cost, symbol) for cost in self._clean(phase)])

    def wall_s(self, phase: str, symbol: str) -> float:
        """Return the longest wall time of a comparable phase; 0.0 without evidence."""
        return max((cost.wall_s * self._times(cost, symbol) for cost in self._clean(phase)), default=0.0)

    def _clean(self, phase: str) -> list[Cost]:
        every = (*self.here.values(), *self.before)
        return [cost for cost in every if cost.phase == phase and cost.is_clean and cost.machine_s > 0]

    def _times(self, cost: Cost, symbol: str) -> float:
        """Return the factor by which to scale a cost to this symbol: twice as many bars take twice as long."""
        mine = (self.bars or {}).get(symbol)
        return mine / cost.bars if mine and cost.bars else 1.0


def going(world: World, order: SwarmOrder) -> list[Unit]:
    """Return the units of an order that this round still has work for."""
    dead, at_work, spent = world.dead_units, {state.job.unit for state in world.jobs}, holdouts.known(world)
    return [
        unit
        for unit in order.units
        if unit not in dead
        and " ".join(unit) not in world.dropped
        # a unit whose holdout is used up has no jobs in this round
        and (unit in at_work or not (spent.get(" ".join(unit)) or {}).get("used_up"))
    ]


def left(units: Iterable[Unit], rounds_after: int, known: PhaseCosts) -> Band | None:
    """Return the time left for these units, and for whole rounds of them after this one; None without evidence."""
    open_units = list(units)
    total, longest_s = NOTHING, 0.0
    for unit in open_units:
        mine = _unit(unit, known, PHASES)
        if mine is None:
            return None
        total += mine[0]
        longest_s = max(longest_s, mine[1])
    if rounds_after:
        whole = _unit(("", ""), known, PHASES)
        if whole is None:
            return None
        many = rounds_after * len(open_units)
        total += Band(many * whole[0].low_s, many * whole[0].high_s)
    # Phases of one unit follow each other, so however many cores there are, the longest unit bounds the run.
    return Band(total.low_s, max(total.high_s, longest_s))


def _unit(unit: Unit, known: PhaseCosts, phases: Iterable[str]) -> tuple[Band, float] | None:
    """Return what is left of a unit in machine-seconds, and its wall time when it gets no more cores than earlier ones.

    None means unknown: a phase that is not short has no evidence.
    """
    total, chain_s, unknown = NOTHING, 0.0, 0
    for phase in phases:
        mine = known.here.get((unit, phase))
        if mine is not None and mine.is_over:
            continue
        band = _phase(unit, phase, mine, known)
        if band is None and phase not in _SHORT:
            return None
        if band is None:
            unknown += 1
            continue
        total += band
        chain_s += max(0.0, known.wall_s(phase, unit[0]) - (mine.wall_s if mine is not None else 0.0))
    return total + Band(0.0, 0.1 * unknown * total.high_s), chain_s


def _phase(unit: Unit, phase: str, mine: Cost | None, known: PhaseCosts) -> Band | None:
    """Return what is left of one phase: by its own counter where that runs evenly, else by comparable phases."""
    share = (known.done or {}).get((unit, phase), 0.0)
    if mine is not None and phase in _EVEN and mine.machine_s > 0 and share >= _SURE:
        return _around([mine.machine_s * (1 - share) / share])
    whole = known.of(phase, unit[0])
    if whole is None:
        return None
    # A phase that already took longer than comparable ones still gets a rest: it is not over yet.
    spent_s = 0.0 if mine is None else mine.machine_s
    return Band(max(0.0, whole.low_s - spent_s), max(_OVERDUE * spent_s, whole.high_s - spent_s))


def _around(costs: list[float]) -> Band | None:
    return Band(_LEAST * fmean(costs), _MOST * fmean(costs)) if costs else None


def in_words(band: Band) -> str:
    """Return `about 4 to 9 min` or `at most 40 s`, with the ends rounded outward, so that they promise too little."""
    seconds, name = next((size, name) for limit, size, name in _SCALES if band.high_s <= limit)
    step = 10 if name == "s" else 1
    low, high = (int(band.low_s / seconds / step) * step, max(step, math.ceil(band.high_s / seconds / step) * step))
    if low == 0 or band.high_s > _WIDEST * band.low_s:
        return f"at most {high} {name}"
    return f"about {low} to {high} {name}" if low < high else f"about {low} {name}"


_SCALES = ((120.0, 1.0, "s"), (5_400.0, 60.0, "min"), (172_800.0, 3_600.0, "h"), (math.inf, 86_400.0, "days"))
