"""Forged, copied or damaged records that name a foreign process: it gets no signal and is not changed.

The strangers are real: processes that run, and some that are stopped, with the identity that the kernel gives them.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.machine import launcher, processes, sessions
from agents.machine.sessions import Tmux
from config import settings
from scripts.swarm import stop
from state.files import flock, snapshot
from state.files.layout import Roots
from state.files.tree import tree_of
from state.host import identity
from state.host.identity import NONCE, Identity, Tree
from state.records.server import Server
from state.records.workers import Launch
from tests.agents.yard import Yard
from tests.agents.yard import yard as a_yard

LIMITS = settings.load({}).swarm


@pytest.fixture
def here() -> Iterator[Yard]:
    with a_yard() as one:
        yield one


@pytest.fixture
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    """A foreign process whose shell names a state root, as users may do, and that belongs to no swarm."""
    code = "import os, sys; os.write(1, b'!'); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ), **pipes) as child:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"!"
        yield child
        child.kill()


def identity_of(child: "subprocess.Popen[bytes]") -> Identity:
    found = identity.of(child.pid)
    assert found is not None
    return found


def stopped(child: "subprocess.Popen[bytes]") -> Identity:
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    return identity_of(child)


def forged_server(roots: Roots, process: Identity, label: str = "bt-forged") -> None:
    snapshot.write_json(roots.swarm, tree_of(Server(label, str(roots.results), process)))


@pytest.mark.parametrize("life", ["running", "stopped"])
def test_a_forged_server_record_costs_nobody_a_signal(
    here: Yard, stranger: "subprocess.Popen[bytes]", life: str
) -> None:
    named = stopped(stranger) if life == "stopped" else identity_of(stranger)
    forged_server(here.roots, named)
    client = Tmux(here.roots, Server("bt-forged", str(here.roots.results), named), 2.0)
    assert "gone" in sessions.repair(Tmux.of(here.roots, 2.0))
    sessions.repair(client)  # even by who read the record before
    stop._end_sessions(here.roots, LIMITS)
    assert stranger.poll() is None
    assert identity.life_of(named) == life


@pytest.mark.parametrize("pid", [1, os.getppid(), os.getpid()], ids=["pid 1", "parent", "self"])
def test_pid_1_and_whoever_started_us_are_strangers(here: Yard, pid: int) -> None:
    named = identity.of(pid)
    assert named is not None
    forged_server(here.roots, named)
    assert Tmux.of(here.roots, 2.0).server.process is None
    assert not processes.send_in(here.roots.state, named, signal.SIGCONT)


def test_a_server_record_that_names_the_users_own_tmux_gets_no_session_of_ours(here: Yard, tmp_path: Path) -> None:
    """`default` is the label of a user's own server: ours would start in it, and `stop` would end all of it."""
    if not sessions.installed():
        pytest.skip("tmux is not installed")
    folder = here.roots.results
    environment = {"PATH": os.environ["PATH"], "TMUX_TMPDIR": str(folder), "HOME": str(tmp_path), "TERM": "screen"}

    def tmux(*words: str) -> str:
        command = ["tmux", "-f", "/dev/null", "-L", "default", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    tmux("new-session", "-d", "-s", "mine", "cat")
    try:
        named = identity.of(int(tmux("display-message", "-p", "#{pid}")))
        assert named is not None
        forged_server(here.roots, named, "default")
        reached = launcher._reachable(here.roots, LIMITS, [])
        assert reached.server.label != "default"
        stop._end_sessions(here.roots, LIMITS)
        assert tmux("list-sessions").startswith("mine:")
        assert identity.life_of(named) == "running"
    finally:
        tmux("kill-server")


def test_a_forged_holder_of_the_launch_lock_is_not_continued(here: Yard, stranger: "subprocess.Popen[bytes]") -> None:
    named = stopped(stranger)
    snapshot.write_json(here.roots.launch_holder, tree_of(named))
    with flock.held(here.roots.launch_lock), pytest.raises(launcher.Busy), launcher.launch_lock(here.roots):
        pass
    assert identity.life_of(named) == "stopped"


def test_a_forged_loop_record_ends_nobody(here: Yard) -> None:
    """The stranger's shell names our state root, but it is no loop of ours."""
    environment = {k: v for k, v in os.environ.items() if k != NONCE} | {"STATE_ROOT": str(here.roots.state)}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=environment, stdin=subprocess.PIPE) as child:
        snapshot.write_json(here.roots.loop("watchdog"), {"identity": tree_of(identity_of(child))})
        launcher._end_loop(here.roots, "bt-watchdog")
        assert child.poll() is None
        child.kill()


@pytest.mark.parametrize("nonce", ["swarm", "", "None", "1"])
def test_a_launch_record_with_a_nonce_that_many_carry_ends_nobody(here: Yard, nonce: str) -> None:
    """Every loop of every swarm carries `swarm`."""
    loop = here.process("import sys; sys.stdin.read()", nonce)
    job = here.enqueued("search")
    launch = Launch("w", "bt-1", job, 1, nonce, "cpu0", 1, "", 0.0, identity.boot_id())
    snapshot.write_json(here.roots.launch("w"), tree_of(launch))
    for _ in range(4):
        here.cycle(after_s=120.0)
    tree = Tree.of(here.roots.state, nonce, "bt-1")
    assert processes.signal_tree(tree, signal.SIGTERM) == processes.kill_tree(tree, None) == 0
    assert loop.poll() is None


@pytest.mark.parametrize("field", ["worker_id", "run_id", "symbol", "mode"])
def test_a_launch_record_that_names_paths_elsewhere_is_none_of_ours(here: Yard, field: str) -> None:
    """A retired worker's files are removed: those of its id, wherever that leads."""
    outside = here.roots.results / "mine.json"
    outside.write_text('{"precious": 1}')
    climb = f"../../{outside.relative_to(here.roots.results).with_suffix('')}"
    tree = tree_of(Launch("w", "bt-1", here.enqueued("search"), 1, "n" * 32, "cpu0", 1, "", 0.0, identity.boot_id()))
    (tree if field in tree else tree["job"])[field] = climb
    snapshot.write_json(here.roots.launch("w"), tree)
    before = sorted(path for path in here.roots.results.rglob("*.json") if here.roots.state not in path.parents)
    for _ in range(4):
        here.cycle(after_s=120.0)
    assert outside.read_text() == '{"precious": 1}'
    assert before == sorted(p for p in here.roots.results.rglob("*.json") if here.roots.state not in p.parents)


def test_a_process_of_another_pid_namespace_is_nobody_here(here: Yard) -> None:
    """Its pid there belongs here to another process, or to none."""
    code = "import json; from state.files.tree import tree_of; from state.host import identity; "
    code += "print(json.dumps(tree_of(identity.mine())))"
    words = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2])
    if done.returncode != 0:
        pytest.skip(f"no pid namespace can be made here: {done.stderr.strip()[:100]}")
    named = Identity(**json.loads(done.stdout))
    assert named.boot_id == identity.boot_id()
    assert identity.of(named.pid) is not None, "its number is somebody's here"
    assert identity.life_of(named) == "dead"
    assert not processes.send(named, signal.SIGCONT)
