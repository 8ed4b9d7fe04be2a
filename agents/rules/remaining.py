"""How long a run still takes, as a band: from what comparable phases cost on this machine, or nothing without evidence.

Comparable is the same phase of another symbol and mode or another round of this run, or of an earlier run with the same
settings. Only prescreens and searches know how far they are: their counters run evenly. The counter of a
validation does not (60 of 64 steps took 60 to 75 % of its time), so one in progress is no evidence of its end.
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
_SHORT = ("merge", "report")  # phases of a second, which need no evidence: a tenth of what is known of the others
_SURE = 0.25  # of an even phase: the share from which on its own counter says more than other phases
# The band around the mean of comparable phases: by what other load on the machine made the same phases cheaper and
# dearer within a run. With it the band held the truth at every look at four recorded runs, which a test replays.
_LEAST, _MOST = 0.6, 1.8
_OVERDUE = 0.35  # of what a phase has cost so far: what may be left of one that took longer than those before it
_WIDEST = 4.0  # of a band whose end is so many times its beginning only the end is worth a word


class BandRow(TypedDict):
    """A band as `status --json` holds it, in seconds."""

    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """Seconds, at least and at most."""

    low_s: float
    high_s: float

    def __add__(self, other: "Band") -> "Band":
        return Band(self.low_s + other.low_s, self.high_s + other.high_s)

    def as_json(self) -> BandRow:
        """For `status --json`."""
        return {"low": round(self.low_s, 1), "high": round(self.high_s, 1)}


NOTHING = Band(0.0, 0.0)


@dataclass(frozen=True)
class PhaseCosts:
    """What phases cost: `here` in this round, `before` in earlier rounds and runs; `done`: share of even phases."""

    here: Mapping[tuple[Unit, str], Cost]
    before: tuple[Cost, ...] = ()
    done: Mapping[tuple[Unit, str], float] | None = None
    bars: Mapping[str, int] | None = None  # symbol → number of its bars

    def of(self, phase: str, symbol: str) -> Band | None:
        """The cost of this phase for one symbol and mode, in machine-seconds."""
        return _around([cost.machine_s * self._times(cost, symbol) for cost in self._clean(phase)])

    def wall_s(self, phase: str, symbol: str) -> float:
        """The longest wall time of one such phase."""
        return max((cost.wall_s * self._times(cost, symbol) for cost in self._clean(phase)), default=0.0)

    def _clean(self, phase: str) -> list[Cost]:
        every = (*self.here.values(), *self.before)
        return [cost for cost in every if cost.phase == phase and cost.is_clean and cost.machine_s > 0]

    def _times(self, cost: Cost, symbol: str) -> float:
        """Twice as many bars take twice as long."""
        mine = (self.bars or {}).get(symbol)
        return mine / cost.bars if mine and cost.bars else 1.0


def going(world: World, order: SwarmOrder) -> list[Unit]:
    """The symbols and modes of an order that this round still has work for."""
    dead, at_work, spent = world.dead_units, {state.job.unit for state in world.jobs}, holdouts.known(world)
    return [
        unit
        for unit in order.units
        if unit not in dead
        and " ".join(unit) not in world.dropped
        and (unit in at_work or not (spent.get(" ".join(unit)) or {}).get("used_up"))  # else this round is without it
    ]


def left(units: Iterable[Unit], rounds_after: int, known: PhaseCosts) -> Band | None:
    """The time left for the symbols and modes under way, and for a number of whole rounds after this one."""
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
    return Band(total.low_s, max(total.high_s, longest_s))


def _unit(unit: Unit, known: PhaseCosts, phases: Iterable[str]) -> tuple[Band, float] | None:
    """What is left of one, and how long it takes if it gets no more cores than such phases had; None: unknown."""
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
    share = (known.done or {}).get((unit, phase), 0.0)
    if mine is not None and phase in _EVEN and mine.machine_s > 0 and share >= _SURE:
        return _around([mine.machine_s * (1 - share) / share])
    whole = known.of(phase, unit[0])
    if whole is None:
        return None
    spent_s = 0.0 if mine is None else mine.machine_s
    return Band(max(0.0, whole.low_s - spent_s), max(_OVERDUE * spent_s, whole.high_s - spent_s))


def _around(costs: list[float]) -> Band | None:
    return Band(_LEAST * fmean(costs), _MOST * fmean(costs)) if costs else None


def in_words(band: Band) -> str:
    """`about 4 to 9 min`, `at most 40 s`: rounded away from each other, so that no more is promised than is known."""
    seconds, name = next((size, name) for limit, size, name in _SCALES if band.high_s <= limit)
    step = 10 if name == "s" else 1
    low, high = (int(band.low_s / seconds / step) * step, max(step, math.ceil(band.high_s / seconds / step) * step))
    if low == 0 or band.high_s > _WIDEST * band.low_s:
        return f"at most {high} {name}"
    return f"about {low} to {high} {name}" if low < high else f"about {low} {name}"


_SCALES = ((120.0, 1.0, "s"), (5_400.0, 60.0, "min"), (172_800.0, 3_600.0, "h"), (math.inf, 86_400.0, "days"))
