"""Sum up what was found so far: per symbol and mode the bests in- and out-of-sample, since when, after how many tries.

Nothing here chooses: out-of-sample numbers are for people to read; a search never sees them.
"""

from collections.abc import Mapping
from typing import Any

from agents.model.decision import Agent, Decision
from agents.model.world import World
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.records.report_parts import BestSoFar, UnitSummary
from state.records.reports import QuantReport


@dataclass(frozen=True)
class Leader:
    """The best in-sample Sharpe ratio of a unit so far, and the round it is of."""

    round: int
    best: str
    in_sample_sharpe: float
    out_of_sample_sharpe: float | None


@dataclass(frozen=True)
class Memory:
    """`SYMBOL MODE` → its leader, over all rounds of this run: older rounds are tidied away."""

    run_id: str = ""
    leaders: Mapping[str, Leader] = field(default_factory=dict)


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """The summary; who leads is remembered."""
    if world.order is None:
        return Decision(Memory(), "there is no run", report=QuantReport(units=()))
    leaders = dict(memory.leaders) if memory.run_id == world.run_id else {}
    for outcome in world.outcomes or ():
        found, unit = _leader(outcome), _unit(outcome)
        if found is not None and _leads(found, leaders.get(unit)):
            leaders[unit] = found
    latest = {_unit(outcome): outcome for outcome in world.outcomes or ()}
    units = tuple(_summary(outcome, leaders.get(unit)) for unit, outcome in latest.items())
    candidates = sum(len(unit.candidates) for unit in units)
    report = QuantReport(
        run_id=world.run_id,
        synthetic=any(outcome.get("synthetic") for outcome in latest.values()) if latest else None,
        units=units,
        best_so_far=_best_so_far(leaders),
        candidates=candidates if units else None,
        tries=_tries(latest),
    )
    reason = f"{len(units)} units have results, {candidates} candidates" if units else "no unit has a result yet"
    return Decision(Memory(world.run_id, leaders), reason, report=report)


def _unit(outcome: Mapping[str, Any]) -> str:
    return f"{outcome['symbol']} {outcome['mode']}"


def _leads(one: Leader, other: Leader | None) -> bool:
    """An equal value of a later round is no new best: it was known since the earlier one."""
    if other is None or one.in_sample_sharpe > other.in_sample_sharpe:
        return True
    return one.in_sample_sharpe == other.in_sample_sharpe and one.round < other.round


def _leader(outcome: Mapping[str, Any]) -> Leader | None:
    known = {name: best for name, best in outcome["bests"].items() if best.get("in_sample_sharpe") is not None}
    if not known:
        return None
    name = max(known, key=lambda one: float(known[one]["in_sample_sharpe"]))
    best = known[name]
    return Leader(outcome["round"], name, best["in_sample_sharpe"], best.get("out_of_sample_sharpe"))


def _summary(outcome: Mapping[str, Any], leader: Leader | None) -> UnitSummary:
    return UnitSummary(
        symbol=outcome["symbol"],
        mode=outcome["mode"],
        round=outcome["round"],
        verdict=outcome.get("verdict"),
        tries=outcome.get("tries"),
        bests=outcome["bests"],
        candidates=tuple(name for name, best in outcome["bests"].items() if best.get("candidate") is True),
        best_in_sample_sharpe=None if leader is None else leader.in_sample_sharpe,
        since_round=None if leader is None else leader.round,
    )


def _best_so_far(leaders: Mapping[str, Leader]) -> BestSoFar | None:
    if not leaders:
        return None
    unit = max(leaders, key=lambda one: leaders[one].in_sample_sharpe)
    one = leaders[unit]
    return BestSoFar(unit, one.best, one.round, one.in_sample_sharpe, one.out_of_sample_sharpe)


def _tries(latest: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Over all units; unknown as soon as one is: a sum with a hole would make luck look smaller than it was."""
    counts = [outcome.get("tries") for outcome in latest.values()]
    known = [count for count in counts if isinstance(count, int)]
    return sum(known) if counts and len(known) == len(counts) else None


OWNS = ()
AGENT = Agent(Memory, decide, OWNS, frozenset({"outcomes"}))
