"""What the sentry decides, situation by situation."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.model.action import Action
from agents.roles.worker_sentry import Memory, decide
from state.records.request import Request
from tests.agents.worlds import LIMITS, died, done, job, running, state, worker, world


def acts(w: Any, memory: Memory | None = None) -> list[Action]:
    return list(decide(w, memory or Memory(), LIMITS).actions)


def kinds(w: Any, memory: Memory | None = None) -> list[str]:
    return [action.kind for action in acts(w, memory)]


def test_pending_jobs_take_free_lanes_and_what_ends_a_unit_goes_first() -> None:
    jobs = (state(job("prescreen", shard=0)), state(job("prescreen", shard=1)), state(job("report", "BTC")))
    launched = acts(world(jobs=jobs))
    assert [a.target for a in launched] == ["r0.BTC.aggressive.report.0", "r0.SOL.aggressive.prescreen.0"]
    assert [a.arguments["lane"] for a in launched] == ["cpu0", "cpu1"]


def test_cores_that_would_idle_help_the_job_that_starts() -> None:
    assert acts(world(jobs=(state(job("validate")),)))[0].arguments["cores"] == 2


def test_a_job_waits_for_its_backoff_but_not_for_that_of_another_boot() -> None:
    here = world().boot_id
    late = state(retry_at_s=10_005.0, boot_id=here)
    assert kinds(world(jobs=(late,))) == []
    assert kinds(world(jobs=(replace(late, boot_id="another"),))) == ["launch_worker"]
    assert kinds(world(jobs=(late,), now_s=10_006.0)) == ["launch_worker"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"stopped": True}, "the operator stopped"),
        ({"order": None}, "there is no run"),
        ({"run_finished": True}, "complete"),
        ({"disk_free_bytes": 1_000_000}, "the disk is full"),
    ],
)
def test_nothing_is_started_and_the_reason_is_said(values: dict[str, Any], reason: str) -> None:
    decision = decide(world(jobs=(state(),), **values), Memory(), LIMITS)
    assert [a.kind for a in decision.actions] == []
    assert reason in decision.reason


def test_a_free_disk_of_unknown_size_stops_nothing() -> None:
    assert kinds(world(jobs=(state(),), disk_free_bytes=None)) == ["launch_worker"]


def test_a_result_completes_its_job_and_retires_the_worker() -> None:
    actions = acts(world(jobs=(running(),), workers=(done(worker()),)))
    assert [a.kind for a in actions] == ["complete_job", "retire_worker"]


def test_a_result_of_an_older_epoch_is_not_this_workers() -> None:
    old = replace(done(worker()), result=replace(done(worker()).result, epoch=0))
    assert kinds(world(jobs=(running(),), workers=(old,)))[0] == "record_death"


def test_a_final_failure_is_not_tried_again() -> None:
    actions = acts(world(jobs=(running(),), workers=(done(worker(), "failed", "no bars"),)))
    assert (actions[0].kind, actions[0].arguments) == ("end_job", {"status": "failed", "error_message": "no bars"})


def test_what_may_pass_by_itself_is_waited_for_and_never_held_against_the_job() -> None:
    """A lock that another run holds, a data folder that is gone: time after time, at most as long as is set."""
    waits, waited_s, one = [], 0.0, running(deaths=3)
    while True:
        action = acts(world(jobs=(one,), workers=(done(worker(), "waiting", "another run is writing"),)))[0]
        if action.kind == "end_job":
            break
        said = action.arguments
        assert (action.kind, said["deaths"], said["waits"]) == ("record_death", 3, len(waits) + 1)
        assert said["reason"].startswith("it waits: another run is writing; it is tried again in ")
        waits.append(said["wait_s"])
        waited_s += said["wait_s"]
        one = replace(one, waits=said["waits"])
    assert waits[:7] == [10, 20, 40, 80, 160, 300, 300]
    assert LIMITS.blame.patience_s <= waited_s < LIMITS.blame.patience_s + LIMITS.blame.backoff_max_s
    assert action.arguments["status"] == "failed"
    assert action.arguments["error_message"].startswith("it waited 36")
    assert action.arguments["error_message"].endswith("minutes in vain: another run is writing")


def test_a_worker_that_found_a_changed_file_is_followed_by_one_that_makes_it_again() -> None:
    ended = done(worker(), "again", "the study is damaged")
    action = acts(world(jobs=(running(last_done=10),), workers=(ended,)))[0]
    assert (action.kind, action.arguments["deaths"]) == ("record_death", 1)
    assert action.arguments["reason"] == "the study is damaged; it is made again"
    spent = running(deaths=4, last_done=10)
    action = acts(world(jobs=(spent,), workers=(ended,)))[0]
    assert action.arguments["status"] == "quarantined"


def test_a_death_by_a_signal_from_outside_costs_nothing_and_keeps_its_lane() -> None:
    other = state(job("prescreen", shard=1))
    actions = acts(world(jobs=(running(deaths=2), other), workers=(died(worker(), signal=9),)))
    assert [a.kind for a in actions] == ["record_death", "retire_worker", "launch_worker"]
    assert (actions[0].arguments["deaths"], actions[0].arguments["wait_s"]) == (0, 0.0)  # it had made progress
    assert actions[2].arguments["lane"] == "cpu1", "the lane of the dead is kept for its own job"


def test_deaths_of_its_own_double_the_wait_until_it_is_quarantined() -> None:
    waits = []
    for deaths in range(4):
        one = running(deaths=deaths, last_done=10)
        action = acts(world(jobs=(one,), workers=(died(worker(), code=3),)))[0]
        waits.append(action.arguments["wait_s"])
    assert waits == [10, 20, 40, 80]
    action = acts(world(jobs=(running(deaths=4, last_done=10),), workers=(died(worker(), code=3),)))[0]
    assert (action.kind, action.arguments["status"]) == ("end_job", "quarantined")


def test_new_progress_or_long_health_forgives_earlier_deaths() -> None:
    ahead = acts(world(jobs=(running(deaths=4, last_done=5),), workers=(died(worker(), code=3),)))[0]
    assert ahead.arguments["deaths"] == 1
    healthy = acts(world(jobs=(running(deaths=4, last_done=10),), workers=(died(worker(age_s=700.0), code=3),)))[0]
    assert healthy.arguments["deaths"] == 1


@pytest.mark.parametrize("number", [11, 6, 7])
def test_a_crash_is_a_workers_own_doing(number: int) -> None:
    action = acts(world(jobs=(running(last_done=10),), workers=(died(worker(), signal=number),)))[0]
    assert (action.arguments["deaths"], action.arguments["wait_s"]) == (1, 10)


def test_an_end_that_nobody_saw_costs_nothing_once_and_a_wait_the_next_time() -> None:
    gone = worker(life="dead")
    first = acts(world(jobs=(running(last_done=10),), workers=(gone,)))[0]
    assert first.arguments["wait_s"] == 0
    again = running(last_done=10, last_death=first.arguments["reason"])
    assert acts(world(jobs=(again,), workers=(gone,)))[0].arguments["wait_s"] == 10


def test_a_death_that_is_on_record_is_not_recorded_again() -> None:
    recorded = state(job(), epoch=1, deaths=1)
    assert kinds(world(jobs=(recorded,), workers=(died(worker(), code=3),))) == ["retire_worker"]


def test_the_kernels_memory_killer_counts_although_it_is_a_signal() -> None:
    action = acts(world(jobs=(running(last_done=10),), workers=(died(worker(), signal=9, oom=True),)))[0]
    assert (action.arguments["deaths"], action.arguments["reason"]) == (1, "killed by the kernel: out of memory")


def test_silence_is_ended_at_the_second_look_and_counts_as_a_death() -> None:
    silent = worker(silent_s=61.0)
    w = world(jobs=(running(last_done=10),), workers=(silent,))
    first = decide(w, Memory(), LIMITS)
    assert first.actions == ()
    second = decide(w, first.memory, LIMITS)
    assert [a.kind for a in second.actions] == ["kill_worker"]
    after = decide(world(jobs=w.jobs, workers=(died(silent, signal=9),)), second.memory, LIMITS)
    assert after.actions[0].arguments["deaths"] == 1
    assert "ended by us: no progress for 61 s" in after.actions[0].arguments["reason"]


def test_progress_between_two_looks_clears_the_suspicion() -> None:
    silent = world(jobs=(running(),), workers=(worker(silent_s=61.0),))
    memory = decide(silent, Memory(), LIMITS).memory
    memory = decide(world(jobs=(running(),), workers=(worker(silent_s=2.0),)), memory, LIMITS).memory
    assert decide(silent, memory, LIMITS).actions == ()


def test_a_prescreen_without_its_first_batch_is_late_after_the_deadline() -> None:
    late = worker(done=0, age_s=121.0, silent_s=30.0)
    w = world(jobs=(running(),), workers=(late,))
    assert kinds(w, decide(w, Memory(), LIMITS).memory) == ["kill_worker"]
    search = job("search")
    w = world(jobs=(running(search),), workers=(worker(search, done=0, age_s=121.0, silent_s=30.0),))
    assert kinds(w, decide(w, Memory(), LIMITS).memory) == []


def test_a_stopped_worker_is_continued_once_then_ended() -> None:
    w = world(jobs=(running(),), workers=(worker(life="stopped"),))
    first = decide(w, Memory(), LIMITS)
    assert [a.kind for a in first.actions] == ["continue_worker"]
    assert kinds(w, first.memory) == ["kill_worker"]


def test_stop_asks_first_and_ends_after_the_grace() -> None:
    w = world(jobs=(running(),), workers=(worker(),), stopped=True)
    first = decide(w, Memory(), LIMITS)
    assert [a.kind for a in first.actions] == ["end_worker"]
    assert kinds(w, first.memory) == []
    assert kinds(replace(w, now_s=w.now_s + LIMITS.hang.stop_grace_s + 1), first.memory) == ["kill_worker"]


def test_what_died_while_stopped_is_not_counted() -> None:
    w = world(jobs=(running(deaths=3, last_done=50),), workers=(died(worker(), signal=15),), stopped=True)
    assert acts(w)[0].arguments["deaths"] == 3


def test_a_job_whose_launch_was_cut_short_is_pending_again() -> None:
    w = world(jobs=(running(deaths=2),))
    assert (acts(w)[0].kind, acts(w)[0].arguments["deaths"]) == ("record_death", 2)


def test_lost_records_end_nobody() -> None:
    assert kinds(world(order=None, workers=(worker(),))) == []
    assert kinds(world(jobs=(), workers=(worker(),))) == []


def test_what_ended_while_the_order_was_lost_is_accounted_for_when_it_is_back() -> None:
    """Without an order nobody knows whose job it was: a record that goes now takes the job's result along."""
    ended = done(worker())
    assert kinds(world(order=None, jobs=(), workers=(ended,))) == []
    assert kinds(world(order=None, jobs=(), workers=(ended,), stopped=True)) == ["retire_worker"]
    assert kinds(world(jobs=(running(),), workers=(ended,)))[:2] == ["complete_job", "retire_worker"]


def test_a_worker_whose_job_has_a_newer_epoch_is_asked_to_end() -> None:
    assert kinds(world(jobs=(running(epoch=2, worker_id="r0.SOL.aggressive.prescreen.0.e2"),), workers=(worker(),)))[
        0
    ] == ("end_worker")


def test_a_launch_that_the_journal_does_not_know_costs_its_job_nothing() -> None:
    """Somebody forged it: the job's own worker is at work, and the forged one names a process that is none of ours."""
    true, forged = worker(), died(worker(), signal=9)
    forged = replace(forged, launch=replace(forged.launch, worker_id=f"{true.launch.job.job_id}.e1.forged"))
    done = acts(world(jobs=(running(),), workers=(true, forged)))
    assert [(one.kind, one.target) for one in done] == [("retire_worker", forged.launch.worker_id)]


def test_a_dead_unit_takes_no_lane_and_the_others_do() -> None:
    jobs = (
        state(job("prescreen", shard=0), status="cancelled"),
        state(job("prescreen", shard=1)),
        state(job("merge", "BTC")),
    )
    assert [a.target for a in acts(world(jobs=jobs))] == ["r0.BTC.aggressive.merge.0"]


@pytest.mark.parametrize(
    ("target", "expires_at", "done_", "reason"),
    [
        ("r0.SOL.aggressive.prescreen.0", "2027", True, "cancelled"),
        ("r0.SOL.aggressive.prescreen.0", "2025", False, "it had expired"),
        ("nonsense", "2027", False, "there is no such job in this round"),
    ],
)
def test_a_request_is_answered_with_a_reason(target: str, expires_at: str, done_: bool, reason: str) -> None:
    request = Request("q", "cancel_job", target, "me", "2026", expires_at)
    actions = acts(world(jobs=(running(),), workers=(worker(),), requests=(request,)))
    answer = next(a for a in actions if a.kind == "answer_request")
    assert answer.arguments == {"done": done_, "reason": reason}
    assert ("end_job" in [a.kind for a in actions]) is done_


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["running", "stopped", "dead"]),
            st.floats(0, 200, allow_nan=False),
            st.integers(0, 100),
            st.sampled_from([None, 0, 1, 3]),
        ),
        max_size=2,
    ),
    st.booleans(),
)
def test_the_same_world_gives_the_same_decision_and_each_target_one_remedy(rows: Any, stopped: bool) -> None:
    jobs, workers = [], []
    for shard, (life, silent_s, done_, code) in enumerate(rows):
        one = job("prescreen", shard=shard, shards=2)
        jobs.append(running(one))
        w = worker(one, lane=f"cpu{shard}", life=life, silent_s=silent_s, done=done_)
        workers.append(died(w, code=code) if life == "dead" and code is not None else w)
    here = world(jobs=tuple(jobs), workers=tuple(workers), stopped=stopped)
    first, again = decide(here, Memory(), LIMITS), decide(here, Memory(), LIMITS)
    assert first == again
    targets = [a.target for a in first.actions]
    assert len(targets) == len(set(targets))
    fresh = {w.launch.worker_id for w in workers if w.life == "running" and w.silent_s <= 60 and w.done > 0}
    if not stopped:
        assert not fresh & set(targets), "a fresh worker was touched"
