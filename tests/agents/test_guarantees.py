"""The guarantees about workers, with real processes, in cycles driven by hand under a clock that the test moves.

docs/reference/guarantees.md says which guarantee each of these proves.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents import registry
from agents.machine import processes
from agents.model.world import World
from agents.roles import worker_sentry
from agents.runtime import cycle
from scripts.swarm import health, stop
from state.files import codec, snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host import identity
from state.host.identity import Identity
from state.records import lease, orders
from state.records.workers import Result
from tests.agents import worlds
from tests.agents.yard import WAIT, Yard, wait_for_end, wait_for_stop, yard
from WORKFLOW.pipeline.lane.given import LaneContext
from WORKFLOW.pipeline.lane.worker import SUPERSEDED

C = 15.0  # seconds: a cycle of the sentry
REFUSES_TO_RUN = """
import os, signal
def again(*_): os.kill(os.getpid(), signal.SIGSTOP)
signal.signal(signal.SIGCONT, again)
os.write(1, b'+')
while True: again()
"""
IGNORES_TERM = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'+'); import sys; sys.stdin.read()"
)


@pytest.fixture
def here() -> Iterator[Yard]:
    with yard() as one:
        yield one


# 3: intensity and backoff are on file ---------------------------------------------------------------------------------


def test_a_crash_looper_whose_healer_dies_too_is_launched_at_most_so_often(
    here: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every worker ends with exit code 3, always. The sentry's memory is lost after every cycle."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" = WORKFLOW.pipeline.lane.worker ] && exit 3\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    job, began_s = here.enqueued("report"), here.clock.monotonic_s()
    launched_s: list[float] = []
    for _ in range(60):
        before = len(here.events("started"))
        here.cycle(after_s=C)
        launched_s += [here.clock.monotonic_s() - began_s] * (len(here.events("started")) - before)
        here.ended()
        here.roots.agent_state("worker_sentry").unlink()
    assert here.state(job).status == "quarantined"
    assert "5 deaths in a row" in here.state(job).error_message
    assert len(launched_s) == 5
    assert sum(s < launched_s[0] + 60 for s in launched_s) <= 3
    waits = [later - earlier for earlier, later in pairwise(launched_s)]
    assert all(wait >= least for wait, least in zip(waits, (10, 20, 40, 80), strict=True))


# 4: hangs are judged by progress --------------------------------------------------------------------------------------


def test_a_stopped_worker_is_continued_at_once_and_killed_when_it_stops_again(here: Yard) -> None:
    launch, child, _ = here.worker(here.enqueued("search"))
    os.kill(child.pid, signal.SIGSTOP)
    wait_for_stop(child.pid)
    assert here.cycle() == [f"continue_worker {launch.worker_id}"]
    os.waitid(os.P_PID, child.pid, os.WCONTINUED | os.WNOWAIT)
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert here.cycle(after_s=C) == [f"kill_worker {launch.worker_id}"]
    wait_for_end(child.pid)


def test_a_silent_worker_is_replaced_within_three_cycles(here: Yard) -> None:
    job = here.enqueued("search")
    launch, child, _ = here.worker(job)
    here.clock.ahead_s += 61  # hang.after_s is over
    assert here.cycle() == []
    assert here.cycle(after_s=C) == [f"kill_worker {launch.worker_id}"]
    wait_for_end(child.pid)
    assert here.cycle() == [f"record_death {job.job_id}", f"retire_worker {launch.worker_id}"]  # the wrapper's nudge
    assert here.cycle(after_s=C) == [f"launch_worker {job.job_id}"]
    assert here.state(job).epoch == 2


def test_a_slow_worker_that_advances_is_left_alone_for_a_hundred_cycles(here: Yard) -> None:
    _, child, pulse = here.worker(here.enqueued("search"))
    for number in range(100):
        if number % 3 == 0:  # a step takes 45 s
            pulse.at(6 + number // 3, 1_000)
        assert here.cycle(after_s=C) == []
    assert child.poll() is None


# 6: level-triggered, idempotent ---------------------------------------------------------------------------------------


def test_all_agents_twice_on_one_state_and_the_second_time_nobody_acts(here: Yard) -> None:
    """One worker at work on the only lane, one that has ended well and is not accounted for yet."""
    here.worker(here.enqueued("search"))
    ended = here.enqueued("preflight", "BTC")
    launch, child, _ = here.worker(ended)
    result = Result(ended.job_id, 1, "completed")
    snapshot.write_json(here.roots.swarm_run("bt-1").round(0).result(ended.job_id), tree_of(result))
    child.kill()
    child.wait()
    names = [row.name for row in registry.AGENTS if row.name not in NEED_TMUX]
    first = [action for name in names for action in here.cycle(name)]
    assert {f"complete_job {ended.job_id}", f"retire_worker {launch.worker_id}", "enqueue_jobs bt-1"} <= set(first)
    again = [action for name in names for action in here.cycle(name)]
    assert [action for action in again if not action.startswith(RECORDS)] == []


NEED_TMUX = ("operation_hang_guard",)  # its second look: tests/tmux/test_faults.py
RECORDS = ("write_", "remember_")  # lines of a log are no remedies


# 7: one holder, fenced ------------------------------------------------------------------------------------------------


def test_a_worker_with_a_stale_epoch_leaves_by_itself_and_writes_nothing(here: Yard) -> None:
    job = here.enqueued("report")
    folder = here.roots.swarm_run("bt-1").round(0)
    launch, child, _ = here.worker(job)
    child.kill()
    lease.take(folder.lease(job.job_id), 2, "the newer one")
    command = [sys.executable, "-m", "WORKFLOW.pipeline.lane.worker", str(here.roots.launch(launch.worker_id))]
    done = subprocess.run(command, cwd=CHECKOUT, env=here.environment, capture_output=True, text=True, check=False)
    assert done.returncode == SUPERSEDED, done.stderr
    assert "leaving: " in done.stdout
    assert not folder.result(job.job_id).exists()


def test_a_worker_that_is_replaced_in_mid_work_leaves_at_its_next_step(here: Yard) -> None:
    job = here.enqueued("search")
    launch, _, pulse = here.worker(job)
    order = orders.must(here.roots.swarm_run("bt-1").order)
    one = LaneContext(launch, here.roots, order, pulse)
    path = here.roots.swarm_run("bt-1").round(0).lease(job.job_id)
    lease.take(path, 1, launch.worker_id)
    here.clock.ahead_s += 2
    one.progress(6, 100)
    lease.take(path, 2, "the newer one")
    here.clock.ahead_s += 2
    with pytest.raises(lease.Superseded, match="the newer one"):
        one.progress(7, 100)


CYCLE_THAT_HALTS = """
import os, signal, sys
from importlib import import_module
from agents.runtime import cycle
from state.files.layout import Roots
module, _, name = sys.argv[1].partition(":")
owner = import_module(module)
real = getattr(owner, name)
def halting(*args, **kwargs):
    os.write(1, b"!")
    sys.stdin.read()
    return real(*args, **kwargs)
setattr(owner, name, halting)
cycle.run_cycle(sys.argv[2], Roots.from_environment())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    ("where", "cycles"),
    [
        ("agents.machine.launcher:spawn", 2),  # the job is in the journal, nothing else
        ("agents.machine.launcher:of_swarm", 2),  # and its launch is on file
        ("agents.machine.launcher:replace", 0),  # and its process is there, though not on file
    ],
)
def test_a_launch_that_is_cut_short_is_finished_once(
    here: Yard, where: str, cycles: int, number: signal.Signals
) -> None:
    job = here.enqueued("report")
    halted = halt(here, where)
    halted.send_signal(number)
    halted.communicate()
    did = [action for _ in range(cycles) for action in here.cycle()]
    here.ended()
    assert [action for action in did if action.startswith("launch")] == [f"launch_worker {job.job_id}"] * (cycles // 2)
    assert here.state(job).epoch == 1 + cycles // 2
    live = [one for one in identity.of_swarm(here.roots.state) if "wrapper" in command_of(one)]
    assert len(live) <= 1


def halt(here: Yard, where: str, agent: str = "worker_sentry") -> "subprocess.Popen[bytes]":
    """A cycle of an agent in a process of its own, halted at a named point."""
    command = [sys.executable, "-c", CYCLE_THAT_HALTS, where, agent]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(command, cwd=CHECKOUT, env=here.environment, **pipes)
    here.children.append(child)
    assert child.stdout is not None
    assert child.stdout.read(1) == b"!"
    return child


def command_of(one: Identity) -> str:
    return Path(f"/proc/{one.pid}/cmdline").read_text(encoding="utf-8")


def test_nobody_takes_over_from_a_cycle_that_is_stopped_in_mid_act_until_it_is_gone(here: Yard) -> None:
    halted = halt(here, "agents.machine.acts:record_of", "auto_scheduler")  # the order is read, the jobs are not
    halted.send_signal(signal.SIGSTOP)
    wait_for_stop(halted.pid)
    with pytest.raises(cycle.Held):
        here.cycle("auto_scheduler")
    assert here.jobs.states() == {}
    halted.kill()  # what its loop does at the deadline: test_a_cycle_that_hangs_is_ended_and_the_next_one_does_the_work
    halted.communicate()
    assert here.cycle("auto_scheduler") == ["enqueue_jobs round 1"]
    assert len(here.jobs.states()) == 2


# 11: stop means stop --------------------------------------------------------------------------------------------------


def test_after_stop_and_a_reboot_nothing_runs_for_a_hundred_cycles(here: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX_TMPDIR", str(here.roots.results))
    for name, value in here.environment.items():
        monkeypatch.setenv(name, value)
    job = here.enqueued("search")
    _, child, _ = here.worker(job)
    assert stop.main([]) == 0
    assert child.wait() != 0
    reboot(here.roots)
    began = len(here.events("started"))
    did = [
        action
        for _ in range(100)
        for row in registry.AGENTS
        for action in here.cycle(row.name, after_s=C / len(registry.AGENTS))
    ]
    assert [action for action in did if not action.startswith(RECORDS)] == []
    assert len(here.events("started")) == began
    assert identity.of_swarm(here.roots.state) == []
    ensure = str(CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh")
    done = subprocess.run([ensure], env=here.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert identity.of_swarm(here.roots.state) == []


def reboot(roots: Roots) -> None:
    """All records are of a boot that is over."""
    for path in roots.state.rglob("*"):
        if path.is_file() and identity.boot_id().encode() in (data := path.read_bytes()):
            path.write_bytes(data.replace(identity.boot_id().encode(), b"00000000-0000-0000-0000-000000000000"))


def test_after_a_reboot_without_stop_the_work_goes_on_and_no_stranger_is_touched(here: Yard) -> None:
    job = here.enqueued("report")
    launch, stranger, _ = here.worker(job)
    reboot(here.roots)
    assert here.cycle() == [f"record_death {job.job_id}", f"retire_worker {launch.worker_id}"]
    assert here.cycle() == [f"launch_worker {job.job_id}"]
    assert stranger.poll() is None


# 15: dead-man's switch ------------------------------------------------------------------------------------------------


def test_when_all_agents_are_stopped_health_says_dead_at_once(here: Yard) -> None:
    loop = here.process(WAIT, "swarm")
    one = identity.of(loop.pid)
    assert one is not None
    now_s = here.clock.monotonic_s()
    began_s = {row.session: now_s - 900 for row in registry.AGENTS}
    server = {"label": "x", "folder": str(here.roots.results), "process": tree_of(one), "began_s": began_s}
    snapshot.write_json(here.roots.swarm, server)
    for row in registry.AGENTS:
        snapshot.write_json(here.roots.loop(row.name), {"identity": tree_of(one), "began_s": now_s - 899})
        state = {"at_s": now_s, "boot_id": identity.boot_id(), "cycle": 9}
        snapshot.write_json(here.roots.agent_state(row.name), state)
    assert health.judge(here.roots)[:2] == (health.HEALTHY, "healthy")
    os.kill(loop.pid, signal.SIGSTOP)
    wait_for_stop(loop.pid)
    assert health.judge(here.roots)[:2] == (health.DEAD, "dead")


# 16: remedies are verified and escalate -------------------------------------------------------------------------------


def test_a_worker_that_stops_again_whenever_it_is_continued_is_killed_one_cycle_later(here: Yard) -> None:
    job = here.enqueued("search")
    launch, child, _ = here.worker(job, f"exec({REFUSES_TO_RUN!r})")
    wait_for_stop(child.pid)
    assert here.cycle() == [f"continue_worker {launch.worker_id}"]
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert here.cycle(after_s=C) == [f"kill_worker {launch.worker_id}"]
    verified = snapshot.read_json(here.roots.agent_state("worker_sentry"))["verified_last_cycle"]
    assert [(one["kind"], one["holds"]) for one in verified] == [("continue_worker", False)]
    wait_for_end(child.pid)


def test_a_worker_that_does_not_end_when_asked_is_killed_after_its_grace(here: Yard) -> None:
    launch, child, _ = here.worker(here.enqueued("search"), IGNORES_TERM)
    assert child.stdout is not None
    child.stdout.read(1)
    snapshot.write_json(here.roots.tombstone, {})
    assert here.cycle() == [f"end_worker {launch.worker_id}"]
    assert here.cycle(after_s=1.0) == []
    assert child.poll() is None
    assert here.cycle(after_s=5.0) == [f"kill_worker {launch.worker_id}"]
    wait_for_end(child.pid)


# 17: one remedy a target ----------------------------------------------------------------------------------------------


def test_four_healers_at_once_launch_one_worker(here: Yard) -> None:
    job = here.enqueued("report")
    _, child, _ = here.worker(job)
    child.kill()
    child.wait()
    command = [sys.executable, "-m", "agents", "worker_sentry"]
    options: dict[str, Any] = {"cwd": CHECKOUT, "env": here.environment, "stdout": subprocess.DEVNULL}
    healers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options) for _ in range(4)]
    said = [healer.communicate()[1] for healer in healers]
    assert [healer.returncode for healer in healers] == [0] * 4, said
    here.cycle()
    here.ended()
    assert [(one["job_id"], one["epoch"]) for one in here.events("started")] == [(job.job_id, 1), (job.job_id, 2)]
    assert len(here.events("died")) <= 2


# 18: seeded replay ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    assert trace(seed) == trace(seed)
    assert trace(seed) != trace(seed + 1)


def trace(seed: int) -> list[bytes]:
    """200 cycles of the sentry in a world of accidents, drawn from the seed."""
    chance, memory, said = Random(seed), worker_sentry.Memory(), []
    for number in range(200):
        decision = worker_sentry.decide(accidents(chance, number), memory, worlds.LIMITS)
        memory = decision.memory
        said.append(codec.encode_line([decision.reason, [vars(action) for action in decision.actions]]))
    return said


def accidents(chance: Random, number: int) -> World:
    jobs, workers = [], []
    for shard in range(4):
        job = worlds.job("prescreen", shard=shard, shards=4)
        kind = chance.choice(("pending", "running", "silent", "stopped", "dead", "crashed"))
        if kind == "pending":
            jobs.append(worlds.state(job))
            continue
        jobs.append(worlds.running(job))
        life = kind if kind in ("stopped", "dead") else "running"
        one = worlds.worker(job, lane=f"cpu{shard}", life=life, silent_s=90.0 if kind == "silent" else 1.0)
        workers.append(worlds.died(one, code=1) if kind == "crashed" else one)
    return worlds.world(jobs=tuple(jobs), workers=tuple(workers), now_s=10_000.0 + C * number)


def test_what_a_day_of_faults_recorded_replays_to_the_same_decisions(here: Yard) -> None:
    children = [here.worker(here.enqueued("search", shard=shard))[1] for shard in range(4)]
    names = [row.name for row in registry.AGENTS if row.name != "operation_hang_guard"]  # it would start real sessions
    for number in range(16):
        if number % 4 == 2:
            child = children.pop()
            child.kill()
            child.wait()
        for name in names:
            here.cycle(name, after_s=C / len(names))
    records = [record for name in names for record in Journal(here.roots.cycles(name)).read().records]
    full = [record for record in records if "world" in record]
    assert len(full) > 20
    recorded = [codec.encode_line(record["decision"], by_name=True) for record in full]
    assert [cycle.replay(record) for record in full] == recorded


# more faults ----------------------------------------------------------------------------------------------------------


def test_a_zombie_counts_as_dead_and_its_job_goes_on(here: Yard) -> None:
    job = here.enqueued("report")
    launch, child, _ = here.worker(job)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
    assert here.cycle() == [f"record_death {job.job_id}", f"retire_worker {launch.worker_id}"]
    assert here.cycle() == [f"launch_worker {job.job_id}"]


def test_children_that_fork_away_die_with_their_worker(here: Yard) -> None:
    forks = "os.fork() or (os.setsid(), os.fork() and os._exit(0), os.write(1, b'+')); import sys; sys.stdin.read()"
    launch, child, _ = here.worker(here.enqueued("search"), forks)
    assert child.stdout is not None
    child.stdout.read(1)
    assert len(identity.holders(launch.nonce)) >= 2
    here.clock.ahead_s += 61
    here.cycle()
    assert here.cycle(after_s=C) == [f"kill_worker {launch.worker_id}"]
    child.wait()
    assert identity.holders(launch.nonce) == []


@pytest.mark.parametrize("off_s", [3_600.0, -3_600.0])
def test_a_wall_clock_that_jumps_an_hour_kills_nobody(here: Yard, off_s: float) -> None:
    _, child, pulse = here.worker(here.enqueued("search"))
    for number in range(5):
        pulse.at(6 + number, 100)
        here.clock.wall_off_s = off_s * (number % 2)
        assert here.cycle(after_s=C) == []
    assert child.poll() is None


def test_after_a_suspend_there_is_one_cycle_of_grace(here: Yard) -> None:
    """A monotonic clock that ran on while everybody slept: silence must be read twice."""
    _, child, pulse = here.worker(here.enqueued("search"))
    assert here.cycle(after_s=3_600.0) == []
    pulse.at(6, 100)
    assert here.cycle(after_s=C) == []
    assert child.poll() is None


@pytest.mark.parametrize("damage", ["emptied", "deleted"])
def test_a_state_file_that_is_lost_is_rebuilt_and_nobody_dies(here: Yard, damage: str) -> None:
    _, child, pulse = here.worker(here.enqueued("search"))
    here.cycle()
    path = here.roots.agent_state("worker_sentry")
    path.write_bytes(b"") if damage == "emptied" else path.unlink()
    pulse.at(6, 100)
    assert here.cycle(after_s=C) == []
    assert snapshot.read_json(path)["cycle"] == 1
    assert child.poll() is None


def test_a_journal_cut_in_mid_line_costs_that_line_and_its_job_goes_on(here: Yard) -> None:
    """The line that says who was launched is torn: the worker that runs is not its job's on record any more."""
    job = here.enqueued("report")
    journal = here.roots.swarm_run("bt-1").round(0).jobs
    here.jobs.started(job.job_id, 1, "w", "cpu0")
    os.truncate(journal, journal.stat().st_size - 7)
    assert here.state(job).status == "pending"
    assert here.cycle() == [f"launch_worker {job.job_id}"]
    assert Journal(journal).read().bad_lines == ()


def test_a_stranger_with_a_worker_s_pid_is_never_signalled(here: Yard) -> None:
    """The heartbeat names a process that is not the one with this pid: as after reuse."""
    job = here.enqueued("search")
    launch, _, pulse = here.worker(job)
    other = replace(pulse.last.identity, start_ticks=pulse.last.identity.start_ticks + 1)
    pulse.last = replace(pulse.last, identity=other)
    pulse.write()
    assert not processes.send(other, signal.SIGKILL)
    assert here.cycle()[0] == f"record_death {job.job_id}"
    assert launch.worker_id not in [path.stem for path in here.roots.workers.glob("*.json")]
