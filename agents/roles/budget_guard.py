"""Count hours and dollars of work against what the operator allows. This agent only reports; the operator decides.

Only time in which workers ran counts. A gap in which the guard itself was gone counts as far as the workers that run
now ran in it. Dollars are counted anew from midnight UTC, hours from the beginning of a run.
"""

from datetime import datetime, timedelta

from agents.model.decision import Agent, Decision
from agents.model.world import World
from config.record import dataclass, replace
from config.swarm import SwarmSettings
from state.records.report_parts import Forecast
from state.records.reports import BudgetReport

_CADENCE_S = 120.0
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Memory:
    """Seconds of work today (UTC) and in this run, counted up to the monotonic time `at_s`."""

    boot_id: str = ""
    at_s: float = 0.0
    was_working: bool = False
    day: str = ""
    today_s: float = 0.0
    run_id: str = ""
    run_s: float = 0.0


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Report what was spent, what is left, and what will be spent if work goes on."""
    memory = _counted(world, memory, limits)
    hours = memory.run_s / _HOUR_S
    dollars = memory.today_s / _HOUR_S * limits.budget.dollars_per_hour
    over = []
    if limits.budget.hours and hours > limits.budget.hours:
        over.append(f"{hours:.2f} h of work in this run, {limits.budget.hours:g} are allowed")
    if dollars > limits.budget.dollars_per_day:
        over.append(f"$ {dollars:.2f} today (UTC), {limits.budget.dollars_per_day:g} are allowed")
    report = BudgetReport(
        run_id=world.run_id or None,
        day=memory.day,
        working=memory.was_working,
        spent_hours=round(hours, 4),
        left_hours=round(max(0.0, limits.budget.hours - hours), 4) if limits.budget.hours else None,
        spent_dollars=round(dollars, 4),
        left_dollars=round(max(0.0, limits.budget.dollars_per_day - dollars), 4),
        forecast=_forecast(world, memory, limits),
        over_budget=bool(over),
        over=tuple(over),
    )
    return Decision(memory, "; ".join(over) or "within budget", report=report)


def _forecast(world: World, memory: Memory, limits: SwarmSettings) -> Forecast:
    """Return the dollars by midnight UTC if work goes on, and after how many hours of work a budget is spent."""
    now = datetime.fromisoformat(world.now)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    rate = limits.budget.dollars_per_hour
    spent = memory.today_s / _HOUR_S * rate
    ahead_h = (midnight - now).total_seconds() / _HOUR_S
    left = []
    if limits.budget.hours:
        left.append(limits.budget.hours - memory.run_s / _HOUR_S)
    if rate > 0 and (until := (limits.budget.dollars_per_day - spent) / rate) <= ahead_h:
        left.append(until)
    return Forecast(
        dollars_at_midnight=round(spent + ahead_h * rate, 4) if memory.was_working else round(spent, 4),
        spent_in_hours=round(max(0.0, min(left)), 4) if left else None,
    )


def _counted(world: World, memory: Memory, limits: SwarmSettings) -> Memory:
    """Return the memory with the time since the last look added, as far as workers ran in it."""
    moment = datetime.fromisoformat(world.now)
    day = f"{moment:%Y-%m-%d}"
    works = any(one.life in ("running", "unknown") for one in world.workers)
    added_s = _worked_s(world, memory, limits)
    since_midnight_s = moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    if not memory.day or day > memory.day:  # a clock that is set back must not grant a second budget for the same day
        memory = replace(memory, day=day, today_s=0.0)
        today_s = min(added_s, since_midnight_s)
    else:
        today_s = added_s
    if memory.run_id != world.run_id:
        memory = replace(memory, run_id=world.run_id, run_s=0.0)
    return replace(
        memory,
        boot_id=world.boot_id,
        at_s=world.now_s,
        was_working=works,
        today_s=round(memory.today_s + today_s, 3),
        run_s=round(memory.run_s + added_s, 3),
    )


def _worked_s(world: World, memory: Memory, limits: SwarmSettings) -> float:
    """Return the seconds since the last look in which workers ran.

    After a gap without looks, the oldest living worker tells how long work went on at least.
    """
    ages_s = [one.age_s for one in world.workers if one.life in ("running", "unknown")]
    if not ages_s:
        return 0.0
    if memory.boot_id != world.boot_id:
        return max(ages_s)
    gap_s = max(0.0, world.now_s - memory.at_s)
    # Between two regular looks the whole time counts; after a gap only what living workers prove.
    seamless = (
        memory.was_working and gap_s <= 3 * _CADENCE_S * limits.agents.cadence_scale + limits.agents.cycle_deadline_s
    )
    return gap_s if seamless else min(gap_s, max(ages_s))


OWNS = ()
AGENT = Agent(Memory, decide, OWNS)
