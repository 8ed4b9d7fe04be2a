"""When the jobs of a round ran, and what each phase of a unit (symbol and mode) cost, from the job journal alone.

The cost of a job is counted in machine-seconds: a second in which n jobs run together costs each of them 1/n. So two
validations that ran together for 80 s cost 40 each, as much as one that had all cores for 40 s. Jobs that only fill
idle lanes are not counted, because they end when their lane is wanted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from state.records import standing
from state.records.jobs import PHASES

Unit = tuple[str, str]
_NAMED = {"round", "symbol", "mode", "phase"}  # the fields that name a job
_ENDS = ("died", "completed", "failed", "cancelled", "quarantined")


@dataclass(frozen=True)
class Cost:
    """The cost of one phase of one unit. `wall_s` runs from its first start to its last end, or to now.

    `is_clean`: the first worker of each job completed it, so the cost is typical of such a phase. `bars` is the number
    of bars of the symbol, None before they were counted.
    """

    phase: str
    unit: Unit
    machine_s: float
    wall_s: float
    is_over: bool
    is_clean: bool
    bars: int | None = None


@dataclass
class _Row:
    """One job during the replay: its spells of work, in seconds since the epoch."""

    unit: Unit
    phase: str
    spells: list[tuple[float, float]] = field(default_factory=list)
    began: float | None = None  # the beginning of the spell under way
    status: str = "pending"


class Timeline:
    """The replay of one round's job journal. Times that were lost in a compaction are unknown."""

    def __init__(self, records: Iterable[Any]) -> None:
        self._rows: dict[str, _Row] = {}
        self._first: dict[tuple[Unit, str], str] = {}  # when each phase began
        self._changed: dict[Unit, str] = {}
        self._bars: dict[str, int] = {}  # symbol → number of bars, as preflight counted them
        for record in records:
            if isinstance(record, dict) and (moment := _moment(record.get("at"))) is not None:
                self._apply(record, moment)

    @property
    def bars(self) -> Mapping[str, int]:
        """The number of bars of each symbol, as far as preflight has counted them."""
        return self._bars

    def since(self, unit: Unit, phase: str | None) -> str | None:
        """Return when a phase of a unit began, or, without a phase, when the unit last changed; None: unknown."""
        return self._changed.get(unit) if phase is None else self._first.get((unit, phase))

    def costs(self, now: str) -> dict[tuple[Unit, str], Cost]:
        """Return what every phase of every unit has cost so far."""
        until = _moment(now) or 0.0
        found: dict[tuple[Unit, str], list[_Row]] = defaultdict(list)
        spells: dict[str, list[tuple[float, float]]] = {}
        for name, row in self._rows.items():
            found[row.unit, row.phase].append(row)
            open_spell = [] if row.began is None else [(row.began, max(row.began, until))]
            spells[name] = row.spells + open_spell
        shared = _Shared([spell for some in spells.values() for spell in some])
        names = {id(row): name for name, row in self._rows.items()}
        return {
            key: _cost(
                key, rows, [s for row in rows for s in spells[names[id(row)]]], shared, self._bars.get(key[0][0])
            )
            for key, rows in found.items()
        }

    def _apply(self, record: Mapping[str, Any], moment: float) -> None:
        event, tree = record.get("event"), record.get("job")
        if event == "enqueued" and isinstance(tree, dict):
            row = _Row((str(tree.get("symbol")), str(tree.get("mode"))), str(tree.get("phase")))
            if row.phase not in PHASES or not tree.keys() >= _NAMED:  # the job fills a lane, or is not in our form
                return
            self._rows.setdefault(standing.name(tree), row)
            self._changed[row.unit] = str(record["at"])
            return
        known = self._rows.get(str(record.get("job_id")))
        if known is not None:
            self._changed[known.unit] = str(record["at"])
            self._move(known, event, moment, str(record["at"]))
            said = record.get("metrics")
            if known.phase == PHASES[0] and isinstance(said, dict) and isinstance(said.get("bars"), int):
                self._bars[known.unit[0]] = said["bars"]

    def _move(self, row: _Row, event: Any, moment: float, at: str) -> None:
        if event in ("withdrawn", "reopened"):
            row.spells, row.began, row.status = [], None, "pending"
            self._first.pop((row.unit, row.phase), None)
        elif event == "started":
            row.began = moment
            self._first.setdefault((row.unit, row.phase), at)
        elif event in _ENDS and row.status != "completed":
            # When the clock was set back, the end lies before the beginning, and the spell cannot be counted.
            if row.began is not None and moment >= row.began:
                row.spells.append((row.began, moment))
            row.began, row.status = None, "pending" if event == "died" else str(event)


def _cost(
    key: tuple[Unit, str], rows: list[_Row], spells: list[tuple[float, float]], shared: "_Shared", bars: int | None
) -> Cost:
    over = all(row.status == "completed" for row in rows)
    wall_s = max((end for _, end in spells), default=0.0) - min((start for start, _ in spells), default=0.0)
    machine_s = sum(shared.until(end) - shared.until(start) for start, end in spells)
    clean = over and all(len(row.spells) == 1 for row in rows)
    return Cost(key[1], key[0], machine_s, wall_s, over, clean, bars)


class _Shared:
    """The integral over time of 1 / (number of running jobs). A job's share of a spell is the difference of two."""

    def __init__(self, spells: Iterable[tuple[float, float]]) -> None:
        steps: dict[float, int] = defaultdict(int)
        for start, end in spells:
            steps[start] += 1
            steps[end] -= 1
        self._at: dict[float, float] = {}
        # A sweep over all beginnings and ends: between two of them, the number of running jobs is constant.
        running, before, total = 0, 0.0, 0.0
        for moment in sorted(steps):
            total += (moment - before) / running if running else 0.0
            running, before = running + steps[moment], moment
            self._at[moment] = total

    def until(self, moment: float) -> float:
        """Return the integral up to `moment`, which must be the beginning or the end of a spell."""
        return self._at[moment]


def _moment(stamp: Any) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except (TypeError, ValueError):
        return None
