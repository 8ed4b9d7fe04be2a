"""Keep the ledger of hypotheses: every symbol, mode and round is one, stated before its outcome is known.

Each line is written once: the last lines of the ledger say which are there. Tries across runs are counted from it.
"""

from collections.abc import Iterator
from typing import Any

from agents.actions.documents import WriteHypotheses
from agents.model.decision import Agent, Decision
from agents.model.world import World
from config.record import dataclass
from config.swarm import SwarmSettings
from state.records.jobs import JobState
from state.records.report_parts import BestResult
from state.records.reports import HypothesesReport

_MANY = 500  # the most lines that one cycle writes; the next cycle writes the rest


@dataclass(frozen=True)
class Memory:
    """Empty, because the ledger itself says what was written."""


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Write the lines that the ledger lacks."""
    if world.order is None:
        return Decision(memory, "there is no run", report=HypothesesReport(None, 0, 0))
    if world.hypotheses is None:
        return Decision(memory, "the ledger was not read", report=HypothesesReport(world.run_id))
    # The ledger, and not a memory, decides: a line that was lost with a crash is written in the next cycle.
    held = set(world.hypotheses)
    lines = [line for line in (*_stated(world), *_ended(world)) if f"{line['id']} {line['event']}" not in held][:_MANY]
    mine = held | {f"{line['id']} {line['event']}" for line in lines}
    stated = {one.split()[0] for one in mine if one.startswith(f"{world.run_id}/") and one.endswith(" stated")}
    known = {one.split()[0] for one in mine if one.endswith(" outcome")}
    report = HypothesesReport(world.run_id, len(stated), len(stated - known))
    if not lines:
        return Decision(memory, f"all {len(stated)} hypotheses are in the ledger", report=report)
    write = WriteHypotheses(tuple(lines))
    return Decision(memory, f"writes {len(lines)} lines", (write,), report)


def _stated(world: World) -> Iterator[dict[str, Any]]:
    """Yield a line for what each round tries, with everything that decides its result.

    Earlier rounds are included, in case this agent did not run then.
    """
    if world.order is None:
        return
    settings = world.order.settings
    earlier = [(one.round, one.symbol, one.mode) for one in world.outcomes or ()]
    now = [(state.job.round, *state.job.unit) for state in world.jobs]
    for number, symbol, mode in dict.fromkeys([*earlier, *now]):
        yield {
            "id": _id(world, number, symbol, mode),
            "event": "stated",
            "at": world.now,
            "run_id": world.run_id,
            "round": number,
            "symbol": symbol,
            "mode": mode,
            "family": settings.get("modes", {}).get(mode, {}).get("family"),
            "seed": _seed(settings.get("run", {}).get("seed"), number),
            "tries": _planned(settings),
            "synthetic": world.order.data_path is None,
        }


def _ended(world: World) -> Iterator[dict[str, Any]]:
    """Yield a line for each known outcome: a result, or the end of a unit without one."""
    for outcome in world.outcomes or ():
        best = outcome.bests.get("best_sharpe", BestResult())
        yield {
            "id": _id(world, outcome.round, outcome.symbol, outcome.mode),
            "event": "outcome",
            "at": world.now,
            "verdict": outcome.verdict,
            "tries_so_far": outcome.tries,
            "in_sample_sharpe": best.in_sample_sharpe,
            "out_of_sample_sharpe": best.out_of_sample_sharpe,
            "candidates": list(outcome.candidates),
        }
    there = {(one.round, one.symbol, one.mode) for one in world.outcomes or ()}
    dead: dict[tuple[str, str], JobState] = {}
    for state in world.jobs:
        if state.is_over and state.status != "completed":
            dead.setdefault(state.job.unit, state)
    for (symbol, mode), state in dead.items():
        if (world.round, symbol, mode) not in there:
            why = f"no result: {state.job.phase} {state.status}: {state.error_message}"
            yield {"id": _id(world, world.round, symbol, mode), "event": "outcome", "at": world.now, "verdict": why}


def _id(world: World, number: int, symbol: str, mode: str) -> str:
    return f"{world.run_id}/{number}/{symbol}/{mode}"


def _seed(base: Any, number: int) -> int | None:
    return (base + number) % 2**32 if isinstance(base, int) else None


def _planned(settings: dict[str, Any]) -> int | None:
    """Return how many combos and trials the order asks for; None when it does not say."""
    combos, trials = settings.get("prescreen", {}).get("combos"), settings.get("search", {}).get("trials")
    return combos + trials if isinstance(combos, int) and isinstance(trials, int) else None


OWNS = (WriteHypotheses,)
AGENT = Agent(Memory, decide, OWNS, frozenset({"outcomes", "hypotheses"}))
