"""The queue has one order: the job that commands say starts next is the job that worker_sentry starts next."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.model.world import Lane, World
from agents.roles import worker_sentry
from agents.roles.worker_sentry import Memory
from agents.rules import idle
from state.records.jobs import PHASES
from tests.agents.worlds import LIMITS, job, state, world

STATES = st.builds(
    lambda phase, symbol, shard, epoch: state(job(phase, symbol, shard, 4), epoch=epoch, deaths=epoch, retry_at_s=0.0),
    st.sampled_from(PHASES),
    st.sampled_from(("SOL", "BTC")),
    st.integers(0, 3),
    st.integers(0, 2),
)


def launched(here: World) -> list[str]:
    """What the sentry starts on these lanes, in its order."""
    decision = worker_sentry.decide(here, Memory(), LIMITS)
    return [action.target for action in decision.actions if action.kind == "launch_worker"]


def waiting(*states: Any, lanes: int = 1) -> World:
    return world(jobs=states, lanes=tuple(Lane(f"cpu{n}", 1) for n in range(lanes)))


def test_a_prescreen_that_was_at_work_comes_before_a_search_that_was_not() -> None:
    again = state(job("prescreen", shard=1, shards=2), epoch=1, deaths=1)
    here = waiting(state(job("search", "BTC")), again)
    assert launched(here) == [again.job.job_id]
    assert idle.queue(here)[0] == again.job.job_id
    assert idle.places(here)["r0.BTC.aggressive.search.0"] == 1


@given(st.lists(STATES, max_size=8, unique_by=lambda one: one.job.job_id), st.integers(1, 4))
def test_what_is_said_to_be_next_is_what_is_started(states: list[Any], lanes: int) -> None:
    here = waiting(*states, lanes=lanes)
    assert launched(here) == list(idle.queue(here)[:lanes])


def test_work_that_only_fills_a_lane_is_said_to_do_so() -> None:
    fill = state(job("refine"))
    assert "only fills a lane" in idle.why_waits(fill, world(fills=(fill,)), LIMITS)
