"""What is to blame for deaths (job, lane or environment), and how many launches a crash loop can cause."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.model.world import Lane
from agents.roles.worker_sentry import Memory, decide
from agents.rules import blame, launching
from agents.rules.blame import Blame
from agents.rules.launching import LaneSupply
from tests.agents.worlds import LIMITS, ORDER, died, job, running, state, worker, world

JOBS = [job("prescreen", symbol, shard, 2) for symbol in ("SOL", "BTC", "ETH") for shard in (0, 1)]
deaths = st.lists(
    st.tuples(st.sampled_from(JOBS), st.sampled_from(["cpu0", "cpu1"]), st.floats(0, 300, allow_nan=False)), max_size=40
)


@given(deaths)
def test_waits_never_leave_their_limits_and_grow_until_somebody_comes_through(rows: Any) -> None:
    now_s, one = 0.0, Blame()
    for which, lane, passed_s in rows:
        now_s += passed_s
        before = one
        one = blame.after_death(blame.at(one, now_s, LIMITS), worker(which, lane=lane), now_s, 2, LIMITS)
        assert one.canary_at_s - now_s <= LIMITS.blame.backoff_max_s + 1e-6
        assert one.storms <= before.storms + 1
        assert all(until - now_s <= LIMITS.blame.backoff_max_s + 1e-6 for until in one.lanes.values())
    assert not blame.after_completion(one).is_environment


def test_where_every_job_needs_a_gpu_one_of_them_is_the_canary() -> None:
    """Otherwise a storm of `--engine gpu` would never end; where a core can be tried, it is."""
    storm = Blame()
    for number, one in enumerate(JOBS):
        storm = blame.after_death(storm, worker(one, lane="gpu0"), float(number), 1, LIMITS)
    assert storm.is_environment
    here = world(
        now_s=storm.canary_at_s,
        order=replace(ORDER, engine="gpu"),
        jobs=tuple(map(state, JOBS)),
        gpu_lanes=(Lane("gpu0", 1, "GPU-1"),),
    )
    begun, _ = launching.starts(LaneSupply(here, storm, {}, frozenset()), set(), LIMITS)
    assert [one.lane.lane_id for one in begun] == ["gpu0"]
    closed = replace(storm, lanes={"gpu0": storm.canary_at_s + 60.0})
    assert launching.starts(LaneSupply(here, closed, {}, frozenset()), set(), LIMITS)[0] == []
    merge = state(job("merge"))
    begun, _ = launching.starts(
        LaneSupply(replace(here, jobs=(*here.jobs, merge)), storm, {}, frozenset()), set(), LIMITS
    )
    assert [one.lane.lane_id for one in begun] == ["cpu0"]


def test_one_unit_that_dies_is_never_the_environments_fault() -> None:
    one = Blame()
    for shard in range(10):
        one = blame.after_death(
            one, worker(job("prescreen", shard=shard), lane=f"cpu{shard % 2}"), float(shard), 2, LIMITS
        )
    assert not one.is_environment
    assert one.lanes == {}


def test_a_broken_environment_costs_few_launches_and_quarantines_nobody() -> None:
    """Every worker of three units dies at once, for an hour: launches are counted."""
    states = {one.job_id: state(one) for one in JOBS}
    memory, launches, now_s, workers = Memory(), 0, 0.0, ()
    for _ in range(240):  # cycles of 15 s
        here = world(now_s=now_s, jobs=tuple(states.values()), workers=tuple(workers))
        decision = decide(here, memory, LIMITS)
        memory = decision.memory
        next_workers = []
        for action in decision.actions:
            one = states.get(action.target)
            if action.kind == "record_death" and one is not None:
                said = action.arguments
                retry_at_s = now_s + said["wait_s"]
                states[action.target] = replace(
                    one, status="pending", deaths=said["deaths"], retry_at_s=retry_at_s, boot_id=here.boot_id
                )
            elif action.kind == "end_job" and one is not None:
                states[action.target] = replace(one, status="quarantined")
            elif action.kind == "launch_worker" and one is not None:
                launches += 1
                epoch = action.arguments["epoch"]
                states[action.target] = running(one.job, epoch=epoch, worker_id=f"{action.target}.e{epoch}")
                states[action.target] = replace(states[action.target], deaths=one.deaths)
                lane = action.arguments["lane"]
                next_workers.append(died(worker(one.job, epoch=epoch, lane=lane, done=0, age_s=1.0), code=3))
        workers = tuple(next_workers)
        now_s += 15.0
    assert all(one.status == "pending" for one in states.values()), "a job was blamed for its environment"
    assert 3 <= launches <= 25
    assert decide(world(now_s=now_s, jobs=tuple(states.values())), memory, LIMITS).report.storm


def looks(*cpu_s: float | None, silent_s: float = 61.0, apart_s: float = 15.0) -> list[str]:
    """What the sentry does about one silent worker that had so much CPU at each look."""
    memory, kinds = Memory(), []
    for number, had_s in enumerate(cpu_s):
        one = worker(silent_s=silent_s + number * apart_s, cpu_s=had_s)
        here = world(now_s=10_000.0 + number * apart_s, jobs=(running(last_done=10),), workers=(one,))
        decision = decide(here, memory, LIMITS)
        memory = decision.memory
        kinds += [action.kind for action in decision.actions]
    return kinds


def test_who_waits_for_ever_or_spins_is_ended_and_who_queues_for_a_core_is_not() -> None:
    assert looks(5.0, 5.0) == ["kill_worker"], "it had no CPU at all: a deadlock"
    assert looks(5.0, 19.0) == ["kill_worker"], "it had a whole core and came nowhere"
    assert looks(5.0, 7.0, 9.0, 11.0) == [], "it had an eighth of a core: the machine is crowded"
    assert looks(None, None) == ["kill_worker"], "nobody knows: silence counts as it always did"


def test_patience_with_a_crowded_machine_ends_and_two_looks_at_once_are_one() -> None:
    assert looks(5.0, 7.0, silent_s=5 * LIMITS.hang.after_s + 1) == ["kill_worker"]
    assert looks(5.0, 5.0, apart_s=0.3) == []


def test_moments_of_another_boot_close_no_lane_and_make_no_storm() -> None:
    old = Memory(blame=Blame(lanes={"cpu0": 864_300.0, "cpu1": 864_300.0}, storms=3), boot_id="another")
    actions = decide(world(now_s=60.0, jobs=(state(JOBS[0]),)), old, LIMITS).actions
    assert [action.kind for action in actions] == ["launch_worker"]


def test_the_only_lane_is_never_closed() -> None:
    one = Blame()
    for number, phase in enumerate(("preflight", "merge", "report")):
        one = blame.after_death(one, worker(job(phase)), float(number), 1, LIMITS)
    assert one.lanes == {}


def test_the_same_end_from_outside_twice_without_progress_waits() -> None:
    shot = died(worker(done=10), signal=9)
    first = decide(world(jobs=(running(last_done=10),), workers=(shot,)), Memory(), LIMITS).actions[0].arguments
    again = running(last_done=10, last_death=first["reason"])
    second = decide(world(jobs=(again,), workers=(shot,)), Memory(), LIMITS).actions[0].arguments
    assert (first["wait_s"], second["wait_s"], second["deaths"]) == (0.0, LIMITS.blame.backoff_s, 0)
