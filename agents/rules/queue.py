"""The jobs that may start now, in the one order that worker_sentry starts them in and `status` shows them in."""

from agents.model.world import World
from state.records.jobs import PHASES, Job, JobState


def ready(world: World) -> list[JobState]:
    """Return the pipeline's jobs that may start: earlier rounds first, then jobs that had a worker, then later phases.

    A job that had a worker goes first because its lane is kept for it and its progress is on file.
    """
    return sorted(_may_start(world.jobs, world), key=lambda s: (s.job.round, s.epoch == 0, -PHASES.index(s.job.phase)))


def fills(world: World) -> list[JobState]:
    """Return the jobs that only fill a lane, in the order of the journal. They start after all ready jobs."""
    return _may_start(world.fills, world)


def _may_start(states: tuple[JobState, ...], world: World) -> list[JobState]:
    dead = world.dead_units  # asked once, because it goes through all jobs
    return [
        one
        for one in states
        if one.may_start(world.now_s)
        and one.job.unit not in dead
        and not (one.job.hand and _is_through(one.job, world))
    ]


def _is_through(hand: Job, world: World) -> bool:
    """Whether the study that a hand should help with is complete, so that the hand need not start."""
    mine = [s for s in world.jobs if s.job.unit == hand.unit and s.job.phase == hand.phase and not s.job.hand]
    return all(state.is_over for state in mine)
