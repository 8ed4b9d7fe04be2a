"""Did what was done have the effect it was expected to have? Asked of the next cycle's world, never of the deed."""

from collections.abc import Callable, Mapping
from typing import Any

from agents.model.world import World
from agents.rules.absent import GUARDS

Holds = bool | None  # None: this world cannot tell


def holds(action: Mapping[str, Any], world: World) -> Holds:
    """Whether the expectation of one recorded action came true.

    One that failed when it was carried out, and one whose effect can only be read in a file, is None: its outcome says
    all there is to say.
    """
    if str(action.get("outcome", "")).startswith("failed: "):
        return None
    question = EXPECTED.get(action["kind"], _cannot_tell)  # another version's agent may do what we know nothing of
    return question(action, world)


def _worker_is_there(action: Mapping[str, Any], world: World) -> Holds:
    """A launched worker lives, or has ended already and is about to be accounted for, or its job went on without it."""
    state = next((s for s in world.jobs if s.job.job_id == action["target"]), None)
    if state is None:
        return None
    return bool(world.workers_of(action["target"])) or state.is_over or state.status == "pending"


def _runs_again(action: Mapping[str, Any], world: World) -> Holds:
    """The worker is no longer stopped."""
    life = _life(action["target"], world)
    return None if life is None else life != "stopped"


def _has_ended(action: Mapping[str, Any], world: World) -> Holds:
    """The worker is dead, or accounted for."""
    return _life(action["target"], world) in (None, "dead")


def _is_retired(action: Mapping[str, Any], world: World) -> Holds:
    """Its launch record is gone."""
    return all(worker.launch.worker_id != action["target"] for worker in world.workers)


def _job_moved(action: Mapping[str, Any], world: World) -> Holds:
    """A job that was completed, ended, or recorded as dead no longer runs under the epoch it had."""
    state = next((s for s in world.jobs if s.job.job_id == action["target"]), None)
    if state is None:
        return None
    return state.is_over or action["kind"] == "record_death"


def _is_answered(action: Mapping[str, Any], world: World) -> Holds:
    """The request no longer waits."""
    return all(request.request_id != action["target"] for request in world.requests)


def _sessions_are_there(action: Mapping[str, Any], world: World) -> Holds:
    """Every session that is wanted is there and alive; unknown while tmux gives no answer."""
    if world.sessions is None:
        return None
    there = {one.name for one in world.sessions if one.alive}
    wanted = {view.session for view in world.agents}
    return (wanted if action["target"] == "all" else {action["target"]}) <= there


def _one_of_the_two_cycles(action: Mapping[str, Any], world: World) -> Holds:
    """Of hang guard and state manager at least one has cycled since then."""
    guards = [view for view in world.agents if view.agent in GUARDS]
    return any(view.age_s is not None and view.awaited_s is None and view.loop_life == "running" for view in guards)


def _is_enqueued(action: Mapping[str, Any], world: World) -> Holds:
    """The round under way has jobs."""
    return bool(world.jobs) or world.run_finished


def _begins_again(action: Mapping[str, Any], world: World) -> Holds:
    """The round is one of the new code."""
    return None if not world.round_code else world.round_code == action["target"]


def _logs_are_short(action: Mapping[str, Any], world: World) -> Holds:
    return None if world.records is None else not world.records.long_logs


def _journals_are_short(action: Mapping[str, Any], world: World) -> Holds:
    return None if world.records is None else not world.records.long_journals


def _records_are_gone(action: Mapping[str, Any], world: World) -> Holds:
    """Nobody lists them in the next cycle (it costs); when they are listed again, they were decided on again."""
    return None


def _is_aside(action: Mapping[str, Any], world: World) -> Holds:
    """The damaged record is no longer where it was."""
    return all(one.record != action["target"] for one in world.faults)


def _is_finished(action: Mapping[str, Any], world: World) -> Holds:
    """The run is marked complete."""
    return world.run_finished


def _is_in_story(action: Mapping[str, Any], world: World) -> Holds:
    """The story has its one whole block."""
    return None if world.knowledge is None else world.knowledge.story is not None


def _is_in_notes(action: Mapping[str, Any], world: World) -> Holds:
    """The notes have their one whole block."""
    return None if world.knowledge is None else world.knowledge.notes is not None


def _is_remembered(action: Mapping[str, Any], world: World) -> Holds:
    """The failure memory is a whole array."""
    return None if world.knowledge is None else not world.knowledge.is_damaged


def _keeper_is_there(action: Mapping[str, Any], world: World) -> Holds:
    return None if world.keeper is None else world.keeper.alive


def _is_on_file(action: Mapping[str, Any], world: World) -> Holds:
    """The log's last line is of that cycle or a later one; unknown of another run's log."""
    at = world.told.get(action["kind"])
    is_others = action["kind"] == "write_line" and action["target"] != world.run_id
    return None if at is None or is_others else at >= str(action.get("at", ""))


def _cannot_tell(action: Mapping[str, Any], world: World) -> Holds:
    return None


# Every kind of action has its question (a test compares this with what the agents own).
EXPECTED: dict[str, Callable[[Mapping[str, Any], World], Holds]] = {
    "launch_worker": _worker_is_there,
    "continue_worker": _runs_again,
    "end_worker": _cannot_tell,  # it is given its grace; the sentry itself watches the clock
    "kill_worker": _has_ended,
    "retire_worker": _is_retired,
    "complete_job": _job_moved,
    "end_job": _job_moved,
    "record_death": _job_moved,
    "answer_request": _is_answered,
    "ensure_sessions": _sessions_are_there,
    "ensure_guard": _sessions_are_there,
    "rescue_sessions": _one_of_the_two_cycles,
    "ensure_keeper": _keeper_is_there,
    "run_hooks": _cannot_tell,
    "enqueue_jobs": _is_enqueued,
    "finish_run": _is_finished,
    "restart_units": _begins_again,
    "rotate_logs": _logs_are_short,
    "compact_jobs": _journals_are_short,
    "retire_records": _records_are_gone,
    "set_aside": _is_aside,
    "write_events": _is_on_file,
    "write_incidents": _is_on_file,
    "write_line": _is_on_file,
    "ask": _cannot_tell,  # an answered wish lies in done/ or refused/; main_orchestrator itself watches its effect
    "remember_failures": _is_remembered,
    "write_findings": _cannot_tell,  # those that are missing are found missing again by the next cycle
    "write_notes": _is_in_notes,
    "write_outcomes": _is_in_story,
    "write_hypotheses": _cannot_tell,  # the same
}


def _life(worker_id: str, world: World) -> str | None:
    return next((one.life for one in world.workers if one.launch.worker_id == worker_id), None)
