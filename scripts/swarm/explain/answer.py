"""The answer in one sentence, from a job's history and one look at the world. The functions are pure, for tests."""

import signal
from collections.abc import Sequence
from typing import Any

from agents.model.world import World
from agents.rules import idle
from config.swarm import SwarmSettings
from scripts.swarm.explain.subject import Subject
from scripts.swarm.fit import count

_OURS = "ended by us: "


def of_job(subject: Subject, world: World, limits: SwarmSettings) -> str:
    """Say where the job stands and why, and what happened to its workers."""
    state, name = subject.state, subject.job_id
    ends = [record for record in subject.history if record["event"] == "died"]
    lost = "" if not ends else f"; {count(len(ends), 'worker')} of it died before, the last {_how(ends[-1])}"
    if state.status == "pending":
        why = idle.why_waits(state, world, limits) if subject.run_id == world.run_id else "its run is not under way"
        return f"{name} waits: {why}{lost}."
    if state.status == "running":
        return f"{name} {_lives(state.worker_id, world)} (epoch {state.epoch} on {state.lane}){lost}."
    last = subject.history[-1]
    at = f"{'or before ' if last['event'] == 'compacted' else ''}{_time(last)}"  # a compacted state has no time
    if state.status == "completed":
        return f"{name} was completed at {at} by epoch {state.epoch} on {state.lane}{lost}."
    return f"{name} was {state.status} at {at}: {state.error_message}{lost if state.status != 'quarantined' else ''}."


def of_worker(subject: Subject, world: World) -> str:
    """Say how this worker ended, what ended it and why, and what became of its job."""
    began, after = _began(subject)
    if not after:
        return f"{subject.worker_id} {_lives(subject.worker_id, world)} on {began['lane']}."
    end = after[0]
    if end["event"] == "completed":
        return f"{subject.worker_id} did its job on {began['lane']} and left at {_time(end)}."
    if end["event"] != "died":
        said = f"its job was {end['event']} at {_time(end)}: {end.get('error_message', '')}"
        return f"{subject.worker_id} ended because {said}."
    return f"{subject.worker_id} was {_how(end)}; {_went_on(subject, after)}."


def of_gpu(number: int, world: World, limits: SwarmSettings) -> str:
    """Say what the GPU does, or why it does nothing."""
    devices = idle.gpus(world, limits)
    mine = next((one for one in devices if one.name in (f"gpu{number}", "gpu")), None)
    if mine is None:
        return f"there is no GPU {number} here; there are: {', '.join(one.name for one in devices)}."
    return f"gpu{number} is {mine.state}: {mine.why}."


def _began(subject: Subject) -> tuple[dict[str, Any], Sequence[dict[str, Any]]]:
    """Return the record of the worker's start, and all later records of its job."""
    place = next(i for i, record in enumerate(subject.history) if record.get("worker_id") == subject.worker_id)
    return subject.history[place], subject.history[place + 1 :]


def _how(end: dict[str, Any]) -> str:
    """Return the death in words that fit behind "was"."""
    why, at = str(end.get("error_message", "")), _time(end)
    if why.startswith(_OURS):
        return f"ended by worker_sentry at {at} because {why.removeprefix(_OURS)}"
    if why.startswith("killed by signal "):
        number = why.rpartition(" ")[2]
        return f"killed by signal {_signal(number)}, which came from outside the swarm or from itself, found at {at}"
    if why == "stopped by the operator":
        return f"ended at {at} because the operator stopped the swarm"
    return f"found dead at {at}: {why}"


def _signal(number: str) -> str:
    try:
        return f"{number} ({signal.Signals(int(number)).name})"
    except ValueError:
        return number


def _went_on(subject: Subject, after: Sequence[dict[str, Any]]) -> str:
    again = next((record for record in after if record["event"] == "started"), None)
    if again is None:
        return f"its job is {subject.state.status}"
    how = {"pending": "waits again", "running": "runs"}.get(subject.state.status, f"is {subject.state.status}")
    return f"its job went on as epoch {again['epoch']} on {again['lane']} at {_time(again)} and {how}"


def _lives(worker_id: str, world: World) -> str:
    """Say what a worker is doing whose end is not on record."""
    worker = next((one for one in world.workers if one.launch.worker_id == worker_id), None)
    if worker is None:
        return "counts as running and has no launch record: the sentry begins it again with its next cycle"
    if worker.life != "running":
        return f"is {worker.life}; the sentry deals with it in its next cycle"
    far = f"{worker.done:,} of {worker.total:,}" if worker.total else "it starts"
    return f"runs: {far}, the last progress {worker.silent_s:.0f} s ago"


def _time(record: dict[str, Any]) -> str:
    return f"{str(record.get('at', ''))[:19].replace('T', ' ')} UTC"
