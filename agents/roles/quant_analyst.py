"""Summarize the results so far: for each symbol and mode the best strategies, since which round, after how many tries.

This agent chooses nothing: out-of-sample numbers are for people to read, and no search ever sees them.
"""

from collections.abc import Mapping

from agents.model.decision import Agent, Decision
from agents.model.knowledge import UnitOutcome
from agents.model.world import World
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.records.report_parts import BestSoFar, UnitSummary
from state.records.reports import QuantReport


@dataclass(frozen=True)
class Leader:
    """The strategy with the best in-sample Sharpe ratio of a unit so far, and its round."""

    round: int
    best: str
    in_sample_sharpe: float
    out_of_sample_sharpe: float | None


@dataclass(frozen=True)
class Memory:
    """For each "SYMBOL MODE" its leader over all rounds of this run; the files of old rounds may be gone by now."""

    run_id: str = ""
    leaders: Mapping[str, Leader] = field(default_factory=dict)


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Report the summary, and remember the leaders."""
    if world.order is None:
        return Decision(Memory(), "there is no run", report=QuantReport(units=()))
    leaders = dict(memory.leaders) if memory.run_id == world.run_id else {}
    for outcome in world.outcomes or ():
        found = _leader(outcome)
        if found is not None and _leads(found, leaders.get(outcome.unit)):
            leaders[outcome.unit] = found
    latest = {outcome.unit: outcome for outcome in world.outcomes or ()}
    units = tuple(_summary(outcome, leaders.get(unit)) for unit, outcome in latest.items())
    candidates = sum(len(unit.candidates) for unit in units)
    report = QuantReport(
        run_id=world.run_id,
        synthetic=any(outcome.synthetic for outcome in latest.values()) if latest else None,
        units=units,
        best_so_far=_best_so_far(leaders),
        candidates=candidates if units else None,
        tries=_tries(latest),
    )
    reason = f"{len(units)} units have results, {candidates} candidates" if units else "no unit has a result yet"
    return Decision(Memory(world.run_id, leaders), reason, report=report)


def _leads(one: Leader, other: Leader | None) -> bool:
    """Whether `one` takes the lead. An equal value of a later round does not, because it was known before."""
    if other is None or one.in_sample_sharpe > other.in_sample_sharpe:
        return True
    return one.in_sample_sharpe == other.in_sample_sharpe and one.round < other.round


def _leader(outcome: UnitOutcome) -> Leader | None:
    known = {name: one.in_sample_sharpe for name, one in outcome.bests.items() if one.in_sample_sharpe is not None}
    if not known:
        return None
    name = max(known, key=lambda one: known[one])
    return Leader(outcome.round, name, known[name], outcome.bests[name].out_of_sample_sharpe)


def _summary(outcome: UnitOutcome, leader: Leader | None) -> UnitSummary:
    return UnitSummary(
        symbol=outcome.symbol,
        mode=outcome.mode,
        round=outcome.round,
        verdict=outcome.verdict,
        tries=outcome.tries,
        bests=outcome.bests,
        candidates=outcome.candidates,
        best_in_sample_sharpe=None if leader is None else leader.in_sample_sharpe,
        since_round=None if leader is None else leader.round,
    )


def _best_so_far(leaders: Mapping[str, Leader]) -> BestSoFar | None:
    if not leaders:
        return None
    unit = max(leaders, key=lambda one: leaders[one].in_sample_sharpe)
    one = leaders[unit]
    return BestSoFar(unit, one.best, one.round, one.in_sample_sharpe, one.out_of_sample_sharpe)


def _tries(latest: Mapping[str, UnitOutcome]) -> int | None:
    """Return the tries of all units; None when one is unknown, because a sum too small would understate luck."""
    counts = [outcome.tries for outcome in latest.values()]
    known = [count for count in counts if count is not None]
    return sum(known) if counts and len(known) == len(counts) else None


OWNS = ()
AGENT = Agent(Memory, decide, OWNS, frozenset({"outcomes"}))
