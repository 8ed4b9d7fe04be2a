"""The jobs that may start now, in the order in which worker_sentry starts them and people are told so."""

from agents.model.world import World
from state.records.jobs import PHASES, Job, JobState


def ready(world: World) -> list[JobState]:
    """Jobs of the pipeline: earlier rounds first, then what was at work before, then what is nearest to its end.

    The lane of a job that was at work is kept for it, and its progress is on file.
    """
    return sorted(_may_start(world.jobs, world), key=lambda s: (s.job.round, s.epoch == 0, -PHASES.index(s.job.phase)))


def fills(world: World) -> list[JobState]:
    """Work that only fills a lane, in the order of the journal; after all that is ready."""
    return _may_start(world.fills, world)


def _may_start(states: tuple[JobState, ...], world: World) -> list[JobState]:
    dead = world.dead_units  # once: it looks at every job
    return [
        one
        for one in states
        if one.may_start(world.now_s)
        and one.job.unit not in dead
        and not (one.job.hand and _is_through(one.job, world))
    ]


def _is_through(hand: Job, world: World) -> bool:
    """Whether the study that a hand was to help with is through."""
    mine = [s for s in world.jobs if s.job.unit == hand.unit and s.job.phase == hand.phase and not s.job.hand]
    return all(state.is_over for state in mine)
