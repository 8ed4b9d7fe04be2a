"""Prove that a strategy does not look ahead: change the future, and demand the same past to the bit.

At each of many cuts, the bars after the cut are replaced by other futures (`WORKFLOW.validity.futures`). Up to the cut,
not a single bit of the signals may change, nor may closed trades, entries and marks of equity, whichever engine trades.
Some futures keep the next bar's open. There, market orders at that open must stay the same, and stops and limits that
fill inside that bar must fill at the same price, because the level of a resting order was set before the bar.

A leak that changes nothing for these combos on these bars stays hidden, and therefore the proof makes many cuts
(`WORKFLOW.validity.cuts`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from config.errors import Refused
from WORKFLOW.data.bars import BASE_MINUTES
from WORKFLOW.engines import bar_loop, reference
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.planes import Planes, unpack, words_for
from WORKFLOW.engines.rules import Rules
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos, Parameters
from WORKFLOW.signals.family import Columns, Family
from WORKFLOW.steps import exact
from WORKFLOW.steps.keep import Steps
from WORKFLOW.validity import cuts as cut_points
from WORKFLOW.validity import past
from WORKFLOW.validity.certificate import Certificate, Counts, Difference
from WORKFLOW.validity.futures import FUTURES, SAME_OPEN
from WORKFLOW.validity.past import ChangedPast

Simulate = Callable[[Market, Planes, int, Rules, Window], Ledger]

FINALIST_CUTS = 32  # they make 256 futures, which take 2 to 5 s on one core for 853 days of bars
_PART = 8  # cuts of one step of validation


@dataclass(frozen=True)
class Engine:
    """An engine that trades at one of `every` cuts.

    It starts up to `bars` bars before the cut or, if `bars` is None, at the first or a random bar.
    """

    simulate: Simulate
    bars: int | None = None
    every: int = 1

    def window(self, bars: int, number: int, cut: int, random: np.random.Generator) -> Window:
        """Return the bars to trade for cut number `number`."""
        if self.bars is not None:
            return Window(max(cut - self.bars, 0), min(cut + self.bars // 4 + 2, bars))
        return Window(0 if number % 2 == 0 else int(random.integers(cut + 1)), bars)


def by_reference(market: Market, planes: Planes, combo: int, rules: Rules, window: Window) -> Ledger:
    """Trade with the reference engine, on copies that hold only the bars of the window and one bar before it.

    The first event of the window is a change against that earlier bar. The engine makes lists of all the bars that it
    is given, which takes longer than trading a short window.
    """
    first = max(window.start - 1, 0)
    bars = slice(first, window.stop)
    near = {name: array[bars] for name, array in vars(market).items() if np.ndim(array)}
    armed = planes.armed[combo if len(planes.armed) > 1 else 0]
    side, arms = (unpack(words[None], len(market))[0, bars] for words in (planes.side[combo], armed))
    signal = reference.Signal(side, arms, int(planes.first_side[combo]) - first)
    moved = Window(window.start - first, window.stop - first)
    ledger = reference.simulate(replace(market, **near), signal, rules, moved)
    for name in ("entry_bar", "exit_bar"):
        ledger.trades[name] += first
    return ledger


ENGINES: Mapping[str, Engine] = {
    "native": Engine(bar_loop.simulate),
    "reference": Engine(by_reference, bars=1_000, every=4),
}


@dataclass(frozen=True)
class Strategies:
    """Some combos of a family: its parameter columns, each (k,), and the k rules that belong to them."""

    family: Family
    columns: Columns
    rules: Sequence[Rules]

    def planes(self, market: Market) -> Planes:
        """Compute the signals anew, so that no row that another market gave is used.

        Raises:
            Refused: the family returns planes of a wrong shape; an engine would read beyond them.
        """
        signals = self.family.on(market)
        signals.prepare(self.columns)
        planes = signals.planes(self.columns)
        k, words = len(self.rules), words_for(len(market))
        shapes = planes.side.shape, planes.armed.shape, planes.first_side.shape
        if shapes not in (((k, words), (rows, words), (k,)) for rows in (1, k)):
            raise Refused(
                f"family {self.family.name!r} gives side, armed and first_side of shapes {shapes}",
                f"{k} combos over {len(market):,} bars take ({k}, {words}), the same or (1, {words}), and ({k},)",
            )
        return planes


def prove(
    market: Market,
    strategies: Strategies,
    cuts: int,
    seed: np.random.SeedSequence,
    engines: Mapping[str, Engine] = ENGINES,
    on_cut: Callable[[int, int], None] = lambda _done, _of: None,
    steps: Steps | None = None,
    name: str = "look-ahead",
) -> Certificate:
    """Try `strategies` at up to `cuts` cuts of `market`, and stop at the first difference.

    The same seed gives the same proof. `on_cut` receives the number of cuts done and their total. `steps` are those of
    `parts(name, cuts)`.

    Raises:
        Refused: `market` has fewer than two bars, or the family refuses its parameters.
    """
    if len(market) < 2:
        raise Refused(f"{len(market)} bars have no future that could be changed", "give at least two")
    trial, so_far = _Trial(market, strategies, engines, seed, cuts), Part(None, Counts(), None)
    steps = steps or Steps()
    for number, part in enumerate(parts(name, cuts)):
        so_far = steps.do(part, partial(trial.part, number, so_far, on_cut))
    return Certificate(
        first_difference=so_far.difference,
        seed=np.atleast_1d(np.asarray(seed.entropy)).tolist(),
        bars=len(market),
        combos=len(strategies.rules),
        kinds=list(FUTURES),
        engines=list(engines),
        counts=so_far.counts,
        tick_known_from=_tick_known_from(market),
    )


def parts(name: str, cuts: int = FINALIST_CUTS) -> list[str]:
    """Return the names of the steps of a proof over this number of cuts."""
    return [f"{name}, cuts from {first}" for first in range(0, cuts, _PART)]


def of_finalist(
    everything: Evaluator, parameters: Parameters, seed: np.random.SeedSequence, steps: Steps, name: str
) -> Certificate:
    """Prove one finalist on all its bars."""
    columns = Combos.of([parameters]).columns
    strategies = Strategies(everything.family, columns, [everything.rules(parameters, "sl_first")])
    return prove(everything.market, strategies, FINALIST_CUTS, seed, steps=steps, name=name)


@exact.record
@dataclass(frozen=True)
class Part:
    """The state of a proof after some of its cuts; `random` is the state of the generator for the next cut."""

    difference: Difference | None
    counts: Counts
    random: dict[str, Any] | None


@dataclass(frozen=True)
class _Run:
    """The trades of every combo by one engine over one window of the unchanged market."""

    name: str
    engine: Engine
    window: Window
    ledgers: list[Ledger]


@dataclass
class _Trial:
    market: Market
    strategies: Strategies
    engines: Mapping[str, Engine]
    seed: np.random.SeedSequence
    wanted: int
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    @cached_property
    def known(self) -> Planes:
        return self.strategies.planes(self.market)

    @cached_property
    def points(self) -> list[int]:
        """The cuts. This property must be the first to use the generator, so that each part sees the same cuts."""
        fast = next(iter(self.engines.values()))
        ledgers = self._ledgers(fast, self.market, self.known, Window(0, len(self.market)))
        return cut_points.choose(self.market, self.known, ledgers, self.wanted, self.random)

    def part(self, number: int, so_far: Part, on_cut: Callable[[int, int], None]) -> Part:
        """Do the cuts of one part, from where `so_far` ended; do nothing once there is a difference."""
        if so_far.difference is not None:
            return so_far
        first, points, difference = number * _PART, self.points, None
        self.counts = replace(so_far.counts)
        if so_far.random is not None:
            self.random.bit_generator.state = so_far.random
        for at in range(first, min(first + _PART, len(points))):
            difference = self.at(at, points[at])
            on_cut(at + 1, len(points))
            if difference is not None:
                break
        return Part(difference, self.counts, dict(self.random.bit_generator.state))

    def at(self, number: int, cut: int) -> Difference | None:
        """Try every future of one cut; return the first difference, or None if nothing before the cut changes."""
        runs = [
            self._run(name, engine, number, cut) for name, engine in self.engines.items() if number % engine.every == 0
        ]
        self.counts.cuts += 1
        same_open = {run.name: [run.ledgers] for run in runs}
        for kind in FUTURES:
            world = FUTURES[kind](self.market, cut, self.random)
            planes = self.strategies.planes(world)
            self.counts.futures += 1
            self.counts.bits_compared += past.bits(self.known, cut)
            changed = past.signals(self.known, planes, cut)
            if changed is not None:
                return self._told(changed, None, cut, kind, self._bars_ahead(changed, cut))
            for run in runs:
                window = Window(run.window.start, min(run.window.stop, len(world)))
                ledgers = self._ledgers(run.engine, world, planes, window)
                earlier = same_open[run.name] if kind in SAME_OPEN else []
                for changed in self._differences(run, ledgers, earlier, cut):
                    return self._told(changed, run.name, cut, kind, max(cut + 1 - changed.bar, 1))
                if kind in SAME_OPEN:
                    earlier.append(ledgers)
        return None

    def _run(self, name: str, engine: Engine, number: int, cut: int) -> _Run:
        window = engine.window(len(self.market), number, cut, self.random)
        return _Run(name, engine, window, self._ledgers(engine, self.market, self.known, window))

    def _ledgers(self, engine: Engine, market: Market, planes: Planes, window: Window) -> list[Ledger]:
        return [engine.simulate(market, planes, k, rules, window) for k, rules in enumerate(self.strategies.rules)]

    def _differences(
        self, run: _Run, ledgers: list[Ledger], same_open: list[list[Ledger]], cut: int
    ) -> Iterator[ChangedPast]:
        for combo, (known, other) in enumerate(zip(run.ledgers, ledgers, strict=True)):
            self.counts.trades_compared += int((known.trades["exit_bar"] <= cut).sum())
            self.counts.marks_compared += cut + 1 - run.window.start
            changed = past.fills(known, other, run.window, cut, combo)
            if changed is not None:
                yield changed
            for before in same_open:
                changed = past.orders(before[combo], other, cut + 1, combo)
                if changed is not None:
                    yield changed

    def _bars_ahead(self, changed: ChangedPast, cut: int) -> int:
        """Return how many bars ahead a change still alters `changed.bar`, by doubling and then halving the distance."""
        near, far = cut - changed.bar, 2 * (cut - changed.bar) + 1
        last = len(self.market) - 2 - changed.bar
        while far <= last and self._reaches(changed, far):
            near, far = far, 2 * far + 1
        far = min(far, last + 1)
        while far - near > 1:
            middle = (near + far) // 2
            near, far = (middle, far) if self._reaches(changed, middle) else (near, middle)
        return near + 1

    def _reaches(self, changed: ChangedPast, distance: int) -> bool:
        cut = changed.bar + distance
        worlds = (future(self.market, cut, self.random) for future in FUTURES.values())
        return any(past.signals(self.known, self.strategies.planes(world), changed.bar) for world in worlds)

    def _told(self, changed: ChangedPast, engine: str | None, cut: int, kind: str, bars_ahead: int) -> Difference:
        opened = np.datetime64(int(self.market.time_ms[changed.bar]) // 1000, "s")
        minutes = bars_ahead * BASE_MINUTES
        return Difference(changed.what, engine, changed.combo, changed.bar, f"{opened}Z", cut, kind, minutes)


def _tick_known_from(market: Market) -> str | None:
    """Return the time (UTC) of the first bar whose prices rule out a larger tick size; None without tick size.

    Futures keep the tick size, because it is a public rule of the exchange. But if it was derived from the bars, a
    reader wants to see that early bars were enough to derive it.
    """
    if not market.has_tick:
        return None
    prices = np.column_stack([market.open, market.high, market.low, market.close])
    first = int(np.argmax((prices % 10 != 0).any(axis=1)))
    return f"{np.datetime64(int(market.time_ms[first]) // 1000, 's')}Z"
