"""Time prescreens from bars in memory to the ranked file; the engines take turns."""

import gc
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from config.modes import Mode
from config.settings import Costs, PrescreenSettings
from state.files import snapshot
from WORKFLOW.data.bars import BARS_PER_DAY, Bars, Floats
from WORKFLOW.engines import bar_loop
from WORKFLOW.engines.best import Best, passed
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import TOTAL_TRADES
from WORKFLOW.engines.planes import Planes
from WORKFLOW.engines.rules import Rules
from WORKFLOW.report import records
from WORKFLOW.search import prescreen, space
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos
from WORKFLOW.signals.family import BoundFamily, Columns, DeviceFamily, Family

# The most combos that a slow engine gets: a few seconds of work, which is enough for a rate.
_MOST = {"bar-loop": 4_000, "reference": 8, "vectorbt": 16}
_CHECKED, _CHECKED_BY_REFERENCE = 256, 4  # combos whose results are compared
_WARM_COMBOS = 256


@dataclass(frozen=True)
class Plan:
    """The options that all measurements of one command share."""

    costs: Costs
    settings: PrescreenSettings
    threads: int
    repeat: int
    seed: int


@dataclass(frozen=True)
class PrescreenRow:
    """One line of the table. `exact` is None when nothing was compared."""

    engine: str
    mode: str
    start: str
    symbol: str
    days: float
    cores: int
    bars: int
    combos: int
    trades_per_combo: float | None
    seconds: float
    exact: bool | None
    times_bar_loop: float | None  # its rate divided by that of the plain bar loop in the same run
    phase_seconds: dict[str, float]

    @property
    def bar_combos_per_s(self) -> float:
        """The rate of the whole prescreen."""
        return self.bars * self.combos / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {**asdict(self), "bar_combos_per_s": self.bar_combos_per_s}


@dataclass
class PhaseClock:
    """Seconds by phase. Phases that threads run side by side count by their share of the wall time."""

    seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def phase(self, name: str, share: float = 1.0) -> Iterator[None]:
        """Time the block as this phase."""
        began = time.perf_counter()
        yield
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + (time.perf_counter() - began) * share


def side_by_side(plan: Plan, bars: Bars, mode: Mode, combos: int, engines: Sequence[str]) -> list[PrescreenRow]:
    """Return the medians of `plan.repeat` runs of each engine."""
    runs: dict[str, list[PrescreenRow]] = {engine: [] for engine in engines if _is_there(engine)}
    for engine in runs:
        once(plan, bars, mode, min(_WARM_COMBOS, _MOST.get(engine, combos)), engine)  # this run compiles the kernels
    for _ in range(plan.repeat):
        for engine, rows in runs.items():
            rows.append(once(plan, bars, mode, min(combos, _MOST.get(engine, combos)), engine))
    medians = [_median(rows, is_exact(plan, bars, mode, combos, engine)) for engine, rows in runs.items()]
    loop = next((row.bar_combos_per_s for row in medians if row.engine == "bar-loop"), None)
    return [replace(row, times_bar_loop=loop and row.bar_combos_per_s / loop) for row in medians]


def once(plan: Plan, bars: Bars, mode: Mode, combos: int, engine: str) -> PrescreenRow:
    """Time one whole prescreen."""
    gc.collect()  # free the memory of the run before, so that this run does not pay for it
    clock, trades = PhaseClock(), []
    began = time.perf_counter()
    with clock.phase("market"):
        family = _Timed(space.family_of(mode), clock, 1.0 / plan.threads)
        evaluator = _evaluator(engine, Market.of(bars), family, plan.costs)

    class Screened:
        whole = evaluator.whole

        def best(self, combos: Combos, min_trades: int, keep: int, threads: int) -> Best:
            with clock.phase("screen"):
                if engine == "gpu":  # the GPU engine ranks on the device and leaves the other rows there
                    return evaluator.best(combos, min_trades, keep, threads)
                table = evaluator.screen(combos, [evaluator.whole], threads)[0]
            trades.append(float(np.nansum(table[:, TOTAL_TRADES])))
            return passed(np.arange(len(combos)), table, min_trades)

        def batches_together(self, batch_combos: int) -> int:
            return evaluator.batches_together(batch_combos) if engine == "gpu" else 1

    screened: Any = Screened()
    draw = _TimedDraw(mode, combos, np.random.SeedSequence(plan.seed), clock)
    settings = replace(plan.settings, combos=combos)
    with clock.phase("all"):
        progress = prescreen.run(screened, draw, settings, plan.threads, prescreen.PrescreenProgress(), lambda *_: None)
        found = prescreen.result(progress, draw)
    with clock.phase("writing"), tempfile.TemporaryDirectory() as folder:
        window = {"bars": len(bars)}
        snapshot.write_json(Path(folder) / "phase0.json", records.phase0({}, found, settings, window))
    seconds = time.perf_counter() - began
    return PrescreenRow(
        engine=engine,
        mode=mode.name,
        start="warm",
        symbol=bars.symbol,
        days=len(bars) / BARS_PER_DAY,
        cores=plan.threads,
        bars=len(bars),
        combos=combos,
        trades_per_combo=sum(trades) / combos if trades else None,
        seconds=seconds,
        exact=None,
        times_bar_loop=None,
        phase_seconds=_phases(clock.seconds),
    )


def is_exact(plan: Plan, bars: Bars, mode: Mode, combos: int, engine: str) -> bool:
    """Whether a sample of the combos equals the reference engine, and a larger sample the plain bar loop."""
    drawn = space.draw(mode, min(combos, space.BLOCK), np.random.SeedSequence(plan.seed))
    chosen = np.random.default_rng(plan.seed).permutation(len(drawn))
    market, family = Market.of(bars), space.family_of(mode)
    mine = _evaluator(engine, market, family, plan.costs)
    judges = [("reference", chosen[:_CHECKED_BY_REFERENCE])]
    if engine not in _MOST:
        judges.append(("bar-loop", chosen[:_CHECKED]))
    return all(
        np.allclose(
            mine.screen(drawn[some], [mine.whole], plan.threads),
            _evaluator(judge, market, family, plan.costs).screen(drawn[some], [mine.whole], plan.threads),
            rtol=1e-9,
            atol=1e-9,
            equal_nan=True,
        )
        for judge, some in judges
    )


class _BarLoop(Evaluator):
    """The same prescreen with an engine that walks every bar."""

    def screen(self, combos: Combos, windows: Sequence[Window], threads: int) -> Floats:
        self._signals.prepare(combos.columns)

        def planes(chunk: slice) -> Planes:
            return self._signals.planes(combos[chunk].columns)

        rules = Rules.of(self.costs, {})
        return bar_loop.screen(self.market, planes, combos.executions(), rules, windows, threads)


def _evaluator(engine: str, market: Market, family: Family, costs: Costs) -> Evaluator:
    if engine == "vectorbt":
        from scripts.lab.with_vectorbt import Vectorbt

        return Vectorbt(market, family, costs)
    if engine == "bar-loop":
        return _BarLoop(market, family, costs)
    return Evaluator(market, family, costs, engine)


def _is_there(engine: str) -> bool:
    if engine == "vectorbt":
        from importlib.util import find_spec

        return find_spec("vectorbt") is not None
    return True


@dataclass(frozen=True)
class _Timed:
    """A signal family whose signals are timed; everything else is passed on to the family."""

    family: Family
    clock: PhaseClock
    share: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.family, name)

    def on(self, market: Market) -> "_TimedSignals":
        return _TimedSignals(self.family.on(market), self.clock, self.share)

    def on_device(self, market: Market) -> DeviceFamily:
        """Time signals and execution as one phase: a device runs both without waiting in between."""
        family: Any = self.family
        bound: DeviceFamily = family.on_device(market)
        return bound


@dataclass(frozen=True)
class _TimedSignals:
    signals: BoundFamily
    clock: PhaseClock
    share: float

    def prepare(self, columns: Columns) -> None:
        with self.clock.phase("signals"):
            self.signals.prepare(columns)

    def planes(self, columns: Columns) -> Planes:
        with self.clock.phase("signals", self.share):
            return self.signals.planes(columns)


@dataclass(frozen=True, eq=False)
class _TimedDraw(space.Draw):
    clock: PhaseClock

    def at(self, positions: range) -> Iterator[tuple[space.Numbers, Combos]]:
        with self.clock.phase("combos"):
            parts = list(super().at(positions))
        yield from parts


def _phases(seconds: dict[str, float]) -> dict[str, float]:
    """Return the clock's readings as parts that add up to the whole run."""
    get = seconds.get
    return {
        "market": get("market", 0.0),
        "combos": get("combos", 0.0),
        "signals": get("signals", 0.0),
        "execution": get("screen", 0.0) - get("signals", 0.0),
        "ranking": get("all", 0.0) - get("screen", 0.0) - get("combos", 0.0),
        "writing": get("writing", 0.0),
    }


def _median(rows: Sequence[PrescreenRow], exact: bool) -> PrescreenRow:
    """Return the run whose time is the median, so that its phases add up."""
    middle = statistics.median_low([row.seconds for row in rows])
    return replace(next(row for row in rows if row.seconds == middle), exact=exact)
