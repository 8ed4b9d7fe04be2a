"""No signal to a stranger, and no survivor: real pids used again, real trees that fork while they are killed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from agents.machine import processes
from state.files import snapshot
from state.files.layout import CHECKOUT
from state.host import identity
from state.host.identity import Tree

_REUSES = 200
# A process of its own, and a small one: forking pytest takes longer than the 10 ms in which start times collide.
REUSE = """
import json, os, signal, sys
from pathlib import Path
from agents.machine import processes
from agents.machine.acts import Acts
from agents.actions.workers import KillWorker, RetireWorker
from config import settings
from state.files import codec, snapshot; from state.host import identity
from state.records.jobs import Job
from state.files.layout import Roots
from state.files.tree import record_of, tree_of
from state.records.workers import Launch
from tests.state.test_records import Clock

LAST = "/proc/sys/kernel/ns_last_pid"
roots, job = Roots.from_environment({"RESULTS_ROOT": sys.argv[1]}), Job(0, "SOL", "aggressive", "prescreen")
acts = Acts(roots, settings.load({}).swarm, Clock(), "bt-1", 0)

def born(pid=None):
    if pid is not None:
        descriptor = os.open(LAST, os.O_WRONLY)
        os.write(descriptor, str(pid - 1).encode())
        os.close(descriptor)
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return child

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

def is_alive(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

reused = collided = hits = tried = 0
while reused < int(sys.argv[2]) and tried < 10 * int(sys.argv[2]):
    tried += 1
    pid = born()
    recorded = identity.of(pid)
    launch = Launch("w", "bt-1", job, 1, "0f" * 16, "cpu0", 1, "", 0.0, identity.boot_id(), recorded)
    record = codec.encode(tree_of(launch))
    end(pid)
    stranger = born(pid)
    try:
        if stranger != pid:  # somebody else on the machine has taken the number
            continue
        reused += 1
        collided += identity.of(stranger).start_ticks == recorded.start_ticks
        found = record_of(Launch, codec.decode(record)).wrapper
        hits += identity.life_of(found) != "dead"
        hits += any(processes.send(found, number) for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        if reused % 20 == 0:  # the remedies themselves, on the record as it lies on disk
            snapshot.write_json(roots.launch("w"), tree_of(launch))
            hits += acts.do(KillWorker("w", "0f" * 16, why="")) != "0 processes ended"
            acts.do(RetireWorker("w"))
        hits += not is_alive(stranger)
    finally:
        end(stranger)
print(json.dumps({"reused": reused, "collided": collided, "hits": hits}))
"""


def test_200_reused_pids_and_no_signal_to_a_stranger(tmp_path: Path) -> None:
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    try:
        last_pid.write_text(last_pid.read_text())
    except OSError as error:
        pytest.skip(f"the kernel lets nobody choose pids here ({error.strerror}): {last_pid} needs CAP_SYS_ADMIN")
    command = [sys.executable, "-c", REUSE, str(tmp_path), str(_REUSES)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if found["reused"] < _REUSES:
        pytest.skip(f"only {found['reused']} pids could be had again: {last_pid} is not heeded, or the machine is busy")
    assert found["hits"] == 0, "a stranger was taken for the one on record"
    assert found["collided"] > 0, "no two start times were equal, so a pid and a start time would have done"


# Both end by themselves: no test may leave behind what outruns everybody who wants to end it.
_LIFE_S = 60
FORKER = f"""
import os, sys, time
until = time.monotonic() + {_LIFE_S}
# Each generation leaves its session and its parent, and forks again: whoever looks late finds somebody else.
print(os.getpid(), flush=True)
while time.monotonic() < until:
    pid = os.fork()
    if pid:
        time.sleep(0.002)
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
"""
CROWD = f"""
import os, sys, time
until = time.monotonic() + {_LIFE_S}
print(os.getpid(), flush=True)
for _ in range(12):
    if os.fork() == 0:
        os.setsid()
        while time.monotonic() < until:
            if os.fork() == 0:
                os.setsid()
                time.sleep(0.05)
                os._exit(0)
            try:
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
            except ChildProcessError:
                pass
            time.sleep(0.005)
time.sleep({_LIFE_S})
"""


def environment_of(state: Path, nonce: str) -> dict[str, str]:
    """Return the environment of a process that a swarm of this root starts."""
    return {**os.environ, "STATE_ROOT": str(state), identity.NONCE: nonce}


@pytest.mark.parametrize("script", [FORKER, CROWD], ids=["one that runs away", "many that fork"])
def test_a_tree_that_forks_while_it_is_killed_leaves_no_survivor(script: str, tmp_path: Path) -> None:
    for _ in range(5):
        nonce = os.urandom(16).hex()
        tree = Tree.of(tmp_path, nonce)
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        worker = subprocess.Popen([sys.executable, "-c", script], env=environment_of(tmp_path, nonce), **pipes)
        try:
            assert worker.stdout is not None
            worker.stdout.readline()
            assert processes.kill_tree(tree, None) > 0
            # The end of the pipe, which the whole tree holds: a look may miss whom it looks for.
            assert select.select([worker.stdout], [], [], 5)[0], "somebody got away"
        finally:
            processes.kill_tree(tree, None)
            worker.communicate()  # a survivor ends by itself


def test_a_wrapper_is_spared_and_says_how_its_worker_ended(tmp_path: Path) -> None:
    """nice and oom_score reach the worker, not the wrapper, which must live longer."""
    nonce, exit_file, fifo = os.urandom(16).hex(), tmp_path / "exits" / "w.json", tmp_path / "none.fifo"
    events = tmp_path / "memory.events"
    events.write_text("oom 0\noom_kill 4\n")
    wrapper = CHECKOUT / "agents" / "machine" / "wrapper.py"
    script = "import os; print(os.nice(0), open('/proc/self/oom_score_adj').read().strip(), flush=True); os.pause()"
    script = script.replace("os.pause()", "__import__('signal').pause()")
    command = [sys.executable, "-I", "-S", str(wrapper), str(exit_file), str(fifo), "7", "600", str(events)]
    command += [sys.executable, "-c", script]
    tree = Tree.of(tmp_path, nonce)
    process = subprocess.Popen(command, env=environment_of(tmp_path, nonce), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{min(os.nice(0) + 7, 19)} 600\n"
        mine = identity.of(process.pid)
        assert mine is not None
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == os.nice(0)
        events.write_text("oom 1\noom_kill 5\n")
        assert processes.kill_tree(tree, mine) == 1
        assert process.wait(timeout=60) == 0
    finally:
        processes.kill_tree(tree, None)
        process.communicate()
    said = {"worker_id": "w", "code": None, "signal": 9, "oom": True}
    assert snapshot.read_json(exit_file) == said


ORPHANS = """
import os, signal, sys
def leave():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(sys.executable, [sys.executable, "-c", "print(1, flush=True); import signal; signal.pause()"], {})
        os._exit(0)
    os.wait()
leave(); leave()
print(os.getpid(), flush=True)
signal.pause() if sys.argv[1] == "waits" else sys.exit(0)
"""


@pytest.mark.parametrize("worker", ["waits", "ends"])
def test_whoever_a_worker_leaves_behind_ends_with_it_whatever_its_environment_says(tmp_path: Path, worker: str) -> None:
    """Grandchildren in sessions of their own, without a variable that would name them; killed, and by itself."""
    nonce, exit_file = os.urandom(16).hex(), tmp_path / "exits" / "w.json"
    tree = Tree.of(tmp_path, nonce)
    wrapper = CHECKOUT / "agents" / "machine" / "wrapper.py"
    command = [sys.executable, "-I", "-S", str(wrapper), str(exit_file), str(tmp_path / "none.fifo"), "0", "0", ""]
    command += [sys.executable, "-c", ORPHANS, worker]
    process = subprocess.Popen(command, env=environment_of(tmp_path, nonce), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        for _ in range(3):  # the worker, and both grandchildren once they have the environment that names nobody
            process.stdout.readline()
        if worker == "waits":
            assert processes.kill_tree(tree, identity.of(process.pid)) == 1
        # The end of the pipe, which the grandchildren hold: nobody is left.
        assert select.select([process.stdout], [], [], 20)[0], "somebody was left behind"
        assert process.stdout.read() == b""
        assert process.wait(timeout=60) == 0
        assert snapshot.read_json(exit_file)["signal"] == (9 if worker == "waits" else None)
    finally:
        processes.kill_tree(tree, None)
        _end_those_with(process.stdout)
        process.communicate()


def _end_those_with(pipe: IO[bytes] | None) -> None:
    """KILL the other processes that hold this pipe open, which are the orphans of a failed test."""
    assert pipe is not None
    name = Path(f"/proc/self/fd/{pipe.fileno()}").readlink()
    for held in Path("/proc").glob("[0-9]*/fd/1"):
        with contextlib.suppress(OSError):
            if held.readlink() == name:
                os.kill(int(held.parts[2]), signal.SIGKILL)


def test_one_that_is_stopped_is_killed_all_the_same(tmp_path: Path) -> None:
    nonce = os.urandom(16).hex()
    script = [sys.executable, "-c", "import signal; signal.pause()"]
    worker = subprocess.Popen(script, env=environment_of(tmp_path, nonce))
    try:
        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        assert processes.kill_tree(Tree.of(tmp_path, nonce), None) == 1
        descriptor = os.pidfd_open(worker.pid)
        assert select.select([descriptor], [], [], 0)[0], "kill_tree came back before it was dead"
        os.close(descriptor)
    finally:
        worker.kill()
        worker.wait()
