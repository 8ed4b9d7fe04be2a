"""How far every symbol and mode, every job and every worker is, as `status --json` says it."""

from typing import Any

from agents.model.world import Worker, World
from agents.rules import holdouts, idle, progress
from config.swarm import SwarmSettings
from scripts.swarm.fit import speed
from scripts.swarm.status_rows import UnitRow, WorkerRow
from state.records.jobs import JobState
from state.records.timeline import Timeline

_SPENT = "its holdout is used up"


def worker(one: Worker, limits: SwarmSettings) -> WorkerRow:
    """A worker, how far it is, and how long its silence is put up with."""
    job = one.launch.job
    ended = one.exit is not None and one.exit.code == 0
    return {
        "id": one.launch.worker_id,
        "pid": one.pid,
        "job": job.job_id,
        "symbol": job.symbol,
        "mode": job.mode,
        "lane": one.launch.lane,
        "state": "ended" if ended else one.life,
        "phase": job.phase,
        "done": one.done,
        "total": one.total,
        "rate_per_s": one.rate_per_s,
        "note": one.note,
        "last_progress_age_s": one.silent_s,
        "patience_s": limits.hang.after_s,
    }


def operations(world: World, limits: SwarmSettings) -> list[dict[str, Any]]:
    """Every job of this round that is not completed, and what each pending one waits for."""
    ready = idle.places(world)
    return [_operation(state, world, limits, ready) for state in world.jobs if state.status != "completed"]


def _operation(state: JobState, world: World, limits: SwarmSettings, ready: dict[str, int]) -> dict[str, Any]:
    workers = world.workers_of(state.job.job_id)
    waits = idle.why_waits(state, world, limits, ready) if state.status == "pending" else None
    done, total = (workers[0].done, workers[0].total) if workers else (state.last_done, 0)
    return {**state.as_operation(done, total), "waits_for": waits}


def unit(name: tuple[str, str], world: World, line: Timeline) -> UnitRow:
    """A symbol and mode: its newest phase and since when, how far it is in all, and what is worth knowing."""
    states = [state for state in world.jobs if state.job.unit == name]
    bad = next((s for s in states if s.is_over and s.status != "completed"), None)
    reported = progress.is_reported(states)
    phase = progress.phase(states) or "waiting"
    mine = [w for w in world.workers if w.launch.job.unit == name and w.launch.job.phase == phase]
    dropped = world.dropped.get(" ".join(name))
    if dropped is not None:
        return _at_rest(name, "failed", 0.0, dropped, None)
    left = holdouts.known(world).get(" ".join(name))
    if not states and left is not None and left.get("used_up"):  # this round, and any later one, goes without it
        return _at_rest(name, "complete", 100.0, _SPENT, left)
    if phase != "waiting" and not mine and not world.stopped and any(not s.is_over for s in states):
        phase_word = f"{phase} (queued)"
    else:
        phase_word = phase
    spent = left is not None and left.get("used_up")
    return {
        "symbol": name[0],
        "mode": name[1],
        "phase": "complete" if reported else bad.status if bad is not None else phase_word,
        "since": progress.since(name, world, line),
        "percent": round(progress.percent(states, world), 1),
        "workers": sum(w.launch.job.unit == name for w in world.workers),
        "rate_per_s": round(sum(w.rate_per_s or 0.0 for w in mine), 1) or None,
        "note": bad.error_message
        if bad is not None
        else _note(phase, states, mine, world) or (_SPENT if spent else ""),
        "holdout": left,
    }


def _at_rest(name: tuple[str, str], phase: str, percent: float, note: str, holdout: dict[str, Any] | None) -> UnitRow:
    """A unit that this round does nothing for."""
    return {
        "symbol": name[0],
        "mode": name[1],
        "phase": phase,
        "since": None,
        "percent": percent,
        "workers": 0,
        "rate_per_s": None,
        "note": note,
        "holdout": holdout,
    }


def _note(phase: str, states: list[JobState], mine: list[Worker], world: World) -> str:
    """What is worth knowing right now, over all workers of the unit."""
    if phase == "prescreen" and mine and world.order is not None:
        done = sum(s.metrics.get("tried", 0) for s in states if s.status == "completed") + sum(w.done for w in mine)
        rate = sum(w.rate_per_s or 0.0 for w in mine)
        return f"{done:,}/{world.order.settings['prescreen']['combos']:,}" + (f" · {speed(rate)}" if rate else "")
    waits = (state.error_message for state in states if state.status == "pending" and state.waits)
    return next((w.note for w in mine if w.note and w.note != "starting"), "") or next(waits, "")
