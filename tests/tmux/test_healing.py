"""Every remedy, with its fault injected into a real swarm."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.machine import launcher, sessions
from agents.machine.sessions import Tmux
from agents.registry import at_work
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT
from state.files.tree import record_of
from state.host import identity
from state.host.identity import Identity
from state.records import healing
from state.records.jobs import fold
from tests.tmux.swarm import COMMAND, LONG, MIDDLE, SESSIONS, SMALL, Swarm, kill
from tests.tmux.swarm import swarm as a_swarm
from tests.WORKFLOW.pipeline import artifacts


def starts(swarm: Swarm) -> list[tuple[str, int]]:
    return [(e["job_id"], e["epoch"]) for e in swarm.journal() if e["event"] == "started"]


def test_workers_outlive_tmux_and_are_adopted_not_doubled(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *MIDDLE, "--no-keeper")
    before = swarm.working("prescreen", 2)
    kill(swarm.server())
    assert {identity.life_of(record_of(Identity, beat["identity"])) for beat in before} == {"running"}
    done = swarm.ensure()
    assert done.returncode == 0, done.stderr
    assert swarm.sessions() == sorted(SESSIONS)
    cycle = swarm.cycle("worker_sentry")
    swarm.wait("two cycles of the new sentry", lambda: swarm.cycle("worker_sentry") >= cycle + 2)
    assert swarm.finished()["failed"] == {}
    assert [epoch for _, epoch in starts(swarm)] == [1] * len(starts(swarm)), "a job was launched twice"


def test_stop_stays_stopped_and_the_same_command_goes_on(
    swarm: Swarm, data: Path, alone: Callable[..., dict[str, Any]]
) -> None:
    swarm.launch(data, *MIDDLE)
    before = swarm.working("prescreen", 2)
    swarm.stop()
    assert {identity.life_of(record_of(Identity, beat["identity"])) for beat in before} == {"dead"}
    assert swarm.sessions() == []
    assert not [path for path in Path(swarm.environment["TMUX_TMPDIR"]).rglob("*") if path.is_socket()]
    assert swarm.ensure().stderr == ""
    assert swarm.sessions() == []
    assert swarm.type("health").stdout == "stopped on purpose\n"
    assert swarm.status()["stage"] == "stopped"
    swarm.launch(data, *MIDDLE)
    assert swarm.finished()["failed"] == {}
    assert artifacts(swarm.roots.results) == alone(*MIDDLE)


def test_stop_leaves_no_socket_of_a_server_that_hears_nothing(swarm: Swarm) -> None:
    assert swarm.type("start").returncode == 0
    os.kill(swarm.server().pid, signal.SIGSTOP)
    swarm.stop()
    assert not [path for path in Path(swarm.environment["TMUX_TMPDIR"]).rglob("*") if path.is_socket()]


def test_stop_works_when_every_agent_is_dead(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG, "--no-keeper")
    before = swarm.working("prescreen", 2)
    kill(swarm.server())
    for agent in ("worker_sentry", "operation_hang_guard", "session_state_manager", "auto_scheduler"):
        loop = swarm.loop(agent)
        swarm.wait(f"the end of {agent}", lambda one=loop: identity.life_of(one) == "dead")
    assert swarm.type("health").returncode == 2
    swarm.stop()
    assert {identity.life_of(record_of(Identity, beat["identity"])) for beat in before} == {"dead"}


def test_stop_ends_all_of_it_when_no_record_names_it_any_more(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG)
    before = swarm.working("prescreen", 2)
    server = swarm.server()
    for path in (swarm.roots.swarm, *swarm.roots.workers.glob("*.json")):
        path.unlink()
    swarm.stop()
    assert identity.life_of(server) == "dead"
    assert {identity.life_of(record_of(Identity, beat["identity"])) for beat in before} == {"dead"}
    assert identity.of_swarm(swarm.roots.state) == []


def test_stop_works_when_no_cycle_of_any_agent_can(swarm: Swarm, data: Path) -> None:
    """Their loops live, and the state that the sentry finds is of a newer version: it will not cycle."""
    swarm.launch(data, *LONG)
    before = swarm.working("prescreen", 2)
    snapshot.write_json(swarm.roots.agent_state("worker_sentry"), {"schema": 99})
    swarm.stop()
    assert {identity.life_of(record_of(Identity, beat["identity"])) for beat in before} == {"dead"}
    assert identity.of_swarm(swarm.roots.state) == []
    assert swarm.sessions() == []


def test_a_start_that_was_cut_short_is_gone_on_with(swarm: Swarm) -> None:
    """The server is there and says whose it is, the record of it is not."""
    assert swarm.type("start").returncode == 0
    server = swarm.server()
    swarm.roots.swarm.unlink()
    done = swarm.type("start")
    assert done.returncode == 0, done.stderr
    assert swarm.server() == server
    assert swarm.sessions() == sorted(SESSIONS)


def test_blows_that_cost_nobody_anything_in_one_run(swarm: Swarm, data: Path) -> None:
    """What is struck goes on or comes back, no job is launched twice, and all of it is on file when the run is over."""
    swarm.launch(data, *MIDDLE)
    beats = swarm.working("prescreen", 2)
    a_stopped_worker_is_continued(swarm, record_of(Identity, beats[0]["identity"]))
    a_hung_server_is_continued(swarm)
    sessions_that_are_gone_come_back(swarm)
    assert swarm.finished()["failed"] == {}
    assert {epoch for _, epoch in starts(swarm)} == {1}
    recorded_decisions_are_made_again_byte_for_byte(swarm)
    continuity_is_answered_by_a_bare_python(swarm)


def a_stopped_worker_is_continued(swarm: Swarm, worker: Identity) -> None:
    cycle = swarm.cycle("worker_sentry")
    kill(worker, signal.SIGSTOP)
    swarm.wait("the worker to run again", lambda: identity.life_of(worker) == "running")
    assert swarm.cycle("worker_sentry") - cycle <= 4


def a_hung_server_is_continued(swarm: Swarm) -> None:
    server = swarm.server()
    kill(server, signal.SIGSTOP)
    swarm.ensure()  # or the hang guard, whoever comes first
    swarm.wait("the server to run again", lambda: identity.life_of(server) == "running")
    swarm.wait("all sessions", lambda: swarm.sessions() == sorted(SESSIONS))


def sessions_that_are_gone_come_back(swarm: Swarm) -> None:
    """The guard's, too."""
    for agent, session in (("worker_sentry", "bt-worker-sentry"), ("operation_hang_guard", "bt-operation-hang-guard")):
        old = swarm.loop(agent)
        kill(old)
        swarm.wait(f"{session} to be back", lambda s=session: s in swarm.sessions())
        swarm.wait(f"{agent} to cycle", lambda a=agent, o=old: swarm.loop(a) != o and swarm.cycle(a) > 0)


def recorded_decisions_are_made_again_byte_for_byte(swarm: Swarm) -> None:
    for agent in ("worker_sentry", "auto_scheduler", "session_state_manager", "watchdog"):
        command = [sys.executable, "-m", "agents", agent, "--replay", str(swarm.roots.cycles(agent))]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert " 0 differ" in done.stdout


def continuity_is_answered_by_a_bare_python(swarm: Swarm) -> None:
    """At the end of the run, with every loop dead, and after a stop."""
    file = swarm.roots.agent_state("session_state_manager")
    script = CHECKOUT / "scripts" / "infra" / "session_state_manager.py"
    bare = getattr(sys, "_base_executable", sys.executable)
    command = [bare, "-I", "-S", str(script), "--query", "--state-file", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["stage"]) == (0, "complete"), "at once, whether its manager has looked since or not"
    assert answer["next_steps"][-2]["what"] == "scripts/backtest-optimize results"
    for row in sorted(at_work(swarm.limits), key=lambda row: row.name == "session_state_manager"):
        kill(swarm.loop(row.name))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["stage"]) == (1, "complete")
    assert answer["stale"].endswith("and its loop is dead")
    assert swarm.type("stop").returncode == 0
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, json.loads(done.stdout)["stage"]) == (0, "stopped")


def test_a_loop_that_is_stopped_goes_on(swarm: Swarm) -> None:
    """tmux itself continues what stops in its panes; a loop that is stopped for longer would be replaced."""
    assert swarm.type("start").returncode == 0
    loop = swarm.wait("the scheduler to cycle", lambda: swarm.cycle("auto_scheduler") and swarm.loop("auto_scheduler"))
    kill(loop, signal.SIGSTOP)
    cycle = swarm.cycle("auto_scheduler")
    swarm.wait("more cycles", lambda: swarm.cycle("auto_scheduler") > cycle + 1)


def test_a_server_whose_socket_was_deleted_is_found_again(swarm: Swarm) -> None:
    assert swarm.type("start").returncode == 0
    server = swarm.server()
    record = snapshot.read_json(swarm.roots.swarm)
    socket = next(Path(record["folder"]).glob(f"tmux-*/{record['label']}"))
    swarm.wait("the first cycles", lambda: swarm.cycle("session_log") >= 1)
    socket.unlink()
    swarm.ensure()  # or the hang guard, whoever comes first
    swarm.wait("a new socket", lambda: socket.exists() and swarm.sessions() == sorted(SESSIONS))
    assert swarm.server() == server
    swarm.wait("a socket of our own alone", lambda: socket.stat().st_mode & 0o777 == 0o600)


def test_a_server_whose_sockets_are_removed_again_and_again_is_never_ended(
    swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes each that it is asked for, so it does not hang; whoever removes them does so before anybody calls."""
    assert swarm.type("start", "--no-keeper").returncode == 0
    swarm.wait("the first cycles", lambda: swarm.cycle("session_log") >= 1)
    server, tmux = swarm.server(), Tmux.of(swarm.roots, 2.0)
    call = Tmux.call

    def too_late(self: Tmux, *arguments: str) -> tuple[int, str]:
        self.server.socket.unlink(missing_ok=True)
        return call(self, *arguments)

    with launcher.launch_lock(swarm.roots, wait_s=60.0):  # nobody else repairs meanwhile
        with monkeypatch.context() as patched:
            patched.setattr(Tmux, "call", too_late)
            assert "each was gone again; it was left alone" in sessions.repair(tmux)
        assert identity.life_of(server) == "running"
        assert "it made a new one" in sessions.repair(tmux)
    assert swarm.sessions() == sorted(SESSIONS)


def test_what_was_done_before_tmux_gave_no_more_answer_is_told(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    assert swarm.type("start", "--no-keeper").returncode == 0
    swarm.wait("the first cycles", lambda: swarm.cycle("session_log") >= 1)
    for name, value in swarm.environment.items():
        monkeypatch.setenv(name, value)
    with launcher.launch_lock(swarm.roots, wait_s=60.0):
        kill(swarm.server())
        swarm.wait("the end of the panes", lambda: identity.life_of(swarm.loop("watchdog")) == "dead")
        start, began = Tmux.start, []

        def silent_at_the_third(self: Tmux, session: str, *rest: Any) -> None:
            began.append(session)
            if len(began) == 3:
                raise sessions.NoAnswer("tmux gave no answer")
            start(self, session, *rest)

        with monkeypatch.context() as patched:
            patched.setattr(Tmux, "start", silent_at_the_third)
            with pytest.raises(sessions.NoAnswer):
                launcher.ensure_sessions(swarm.roots, swarm.limits, "a test")
    told = [one for one in healing.recent(swarm.roots) if one.get("by") == "a test"]
    assert [(one["event"], one.get("sessions")) for one in told if one["event"] == "tmux_respawned"] == [
        ("tmux_respawned", 2)
    ]


def test_where_nothing_answers_in_time_a_silent_server_is_left_alone(swarm: Swarm) -> None:
    """With a deadline that no program can keep, as on a machine without a core to spare."""
    assert swarm.type("start").returncode == 0
    server = swarm.server()
    assert "too busy to tell" in sessions.repair(Tmux.of(swarm.roots, 1e-6))
    assert swarm.server() == server
    assert identity.life_of(server) == "running"


def test_after_a_long_stop_nobody_is_taken_for_stale_and_the_machine_not_for_starved(swarm: Swarm) -> None:
    assert swarm.type("start").returncode == 0
    names = [path.stem for path in swarm.roots.loop("x").parent.glob("*.json")]
    swarm.wait("a cycle of all", lambda: all(swarm.cycle(name) for name in names))
    swarm.stop()
    for name in names:  # an hour ago
        state = snapshot.read_json(swarm.roots.agent_state(name))
        snapshot.write_json(swarm.roots.agent_state(name), {**state, "at_s": state["at_s"] - 3600.0})
    cycles = {name: swarm.cycle(name) for name in names}
    assert swarm.type("start").returncode == 0
    swarm.wait("two cycles more of all", lambda: all(swarm.cycle(name) >= cycles[name] + 2 for name in names))
    told = [*Journal(swarm.roots.session_events).read().records, *Journal(swarm.roots.events).read().records]
    assert [one for one in told if one["event"] in ("incident_opened", "found")] == []


def test_before_the_second_session_starts_all_that_begin_are_on_file(
    swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start takes seconds on a loaded machine, and the first agents look around long before the last one is there."""
    for name, value in swarm.environment.items():
        monkeypatch.setenv(name, value)
    seen = []
    start = Tmux.start

    def watched(self: Tmux, session: str, *rest: Any) -> None:
        record = snapshot.read_json(swarm.roots.swarm)
        seen.append(set(record["began_s"]) if isinstance(record, dict) else set())
        start(self, session, *rest)

    monkeypatch.setattr(Tmux, "start", watched)
    with launcher.launch_lock(swarm.roots):
        launcher.ensure_sessions(swarm.roots, swarm.limits, "a test")
    assert seen == [set(), *([set(SESSIONS)] * (len(SESSIONS) - 1))]


def test_two_ensures_at_once_start_everything_once(swarm: Swarm) -> None:
    command = [str(CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh")]
    both = [
        subprocess.Popen(command, env=swarm.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=120)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert swarm.sessions() == sorted(SESSIONS)
    started = [text for text in said if text.startswith("started")]
    assert len(started) == 1, said
    assert swarm.ensure().stderr == "", "ensure speaks although all is well"


def test_two_roots_live_side_by_side(swarm: Swarm, data: Path) -> None:
    with a_swarm() as other:
        other.environment["TMUX_TMPDIR"] = swarm.environment["TMUX_TMPDIR"]  # the same user, the same folder of sockets
        for one in (swarm, other):
            one.launch(data, *SMALL)
        assert swarm.server() != other.server()
        swarm.stop()
        assert other.sessions() == sorted(SESSIONS)
        assert other.finished()["failed"] == {}


def test_records_of_another_boot_are_void_and_nobody_is_touched(swarm: Swarm, data: Path) -> None:
    """A state root that came from another machine: its pids mean strangers here."""
    swarm.launch(data, *MIDDLE)
    swarm.working("prescreen", 2)
    swarm.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        there = identity.of(stranger.pid)
        assert there is not None
        elsewhere = replace(there, boot_id="00000000-0000-0000-0000-000000000000")
        record = snapshot.read_json(swarm.roots.swarm)
        snapshot.write_json(swarm.roots.swarm, {**record, "process": vars(elsewhere)})
        run_id = snapshot.read_json(swarm.roots.current_run)["run_id"]
        job = {"round": 0, "symbol": "SYNTHETIC", "mode": "aggressive", "phase": "prescreen", "shard": 0, "shards": 2}
        launch = {
            "worker_id": "old",
            "run_id": run_id,
            "job": job,
            "epoch": 1,
            "nonce": "x",
            "lane": "cpu0",
            "cores": 1,
        }
        launch |= {"launched_at": "", "launched_at_s": 1e9, "boot_id": elsewhere.boot_id, "wrapper": vars(elsewhere)}
        snapshot.write_json(swarm.roots.launch("old"), launch)
        swarm.launch(data, *MIDDLE)
        swarm.wait("the old launch to be retired", lambda: not swarm.roots.launch("old").exists())
        assert swarm.finished()["failed"] == {}
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_a_cancelled_job_ends_its_unit_and_says_so(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *MIDDLE)
    job = swarm.working("prescreen", 1)[0]["job_id"]
    done = swarm.type("cancel", job)
    assert (done.returncode, done.stdout) == (0, f"{job}: cancelled\n"), done.stderr
    assert list(swarm.finished()["failed"]) == ["SYNTHETIC aggressive"]
    assert swarm.type("cancel", "nonsense").returncode == 1
    again = swarm.type("cancel", job)
    assert (again.returncode, f"{job} is cancelled already" in again.stderr) == (1, True)


def test_a_stopped_swarm_refuses_to_cancel_and_remembers_nothing(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG)
    swarm.working("prescreen", 1)
    assert swarm.type("stop").returncode == 0
    job = next(job_id for job_id, state in fold(swarm.journal()).items() if not state.is_over)
    done = swarm.type("cancel", job)
    assert done.returncode == 1
    assert "the operator stopped the swarm" in done.stderr
    assert list(swarm.roots.requests.glob("*.json")) == []


def test_the_launcher_of_the_work_plane_works_without_the_swarm(swarm: Swarm, data: Path) -> None:
    script = CHECKOUT / "WORKFLOW" / "launch_parallel.sh"
    words = ("--symbols", "SYNTHETIC", "--modes", "aggressive", "--data-path", str(data), *SMALL)
    done = swarm.type(*words, command=script, SWARM_ENABLED="false")
    assert done.returncode == 0, done.stderr
    assert "run_manifest.json" in artifacts(swarm.roots.results)
    assert not swarm.roots.swarm.exists()


def test_attaching_needs_a_session_and_a_terminal(swarm: Swarm) -> None:
    assert swarm.type("start").returncode == 0
    done = swarm.type("attach", "bt-nobody")
    assert (done.returncode, "there is no session 'bt-nobody'" in done.stderr) == (1, True)
    done = swarm.type("attach", "bt-watchdog")
    assert (done.returncode, "attaching needs a terminal" in done.stderr) == (1, True)
    done = swarm.type("attach", "--once")  # a monitor's page needs none
    assert (done.returncode, "no run" in done.stdout) == (0, True), done.stdout
    assert COMMAND.exists()
