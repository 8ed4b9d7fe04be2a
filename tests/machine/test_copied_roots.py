"""Copies of a state root, forged records and other spellings of its path: whoever is not of this root gets no signal.

The processes are real, with the environments that a swarm of this version gives them, and the copies are whole folders.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from agents.machine import keeper, launcher, processes, sessions
from agents.machine.observe import observe
from agents.machine.sessions import Tmux
from agents.runtime import cycle
from config import settings
from scripts.swarm import health, stop
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host import identity, presence, root
from state.host.environment import of_member, of_swarm
from state.host.identity import (
    NONCE,
    RUN,
    WORKER,
    Identity,
    Tree,
)
from state.records.heartbeat import Heartbeat
from state.records.server import Server
from state.records.workers import Launch
from tests.agents.yard import Yard
from tests.agents.yard import yard as a_yard

LIMITS = settings.load({}).swarm
WAITS = "import os, sys; os.write(1, b'!'); sys.stdin.read()"


@pytest.fixture
def here() -> Iterator[Yard]:
    """A root that a start has given its id."""
    with a_yard() as one:
        root.settle(one.roots.state)
        yield one


def member(yard: Yard, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """A process with this environment; the yard ends it, whatever it carries."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-c", WAITS], env=environment, cwd=CHECKOUT, **pipes)
    yard.children.append(child)
    assert child.stdout is not None
    assert child.stdout.read(1) == b"!"
    return child


def identity_of(child: "subprocess.Popen[bytes]") -> Identity:
    found = identity.of(child.pid)
    assert found is not None
    return found


def worker(yard: Yard, nonce: str = "", run_id: str = "bt-1") -> tuple[Launch, "subprocess.Popen[bytes]"]:
    """A worker of this root as the launcher starts one, with its launch and a heartbeat on file."""
    nonce = nonce or os.urandom(16).hex()
    child = member(yard, of_swarm(yard.roots) | {NONCE: nonce, RUN: run_id})
    return on_file(yard, yard.roots, identity_of(child), nonce, run_id), child


def on_file(yard: Yard, roots: Roots, one: Identity, nonce: str, run_id: str = "bt-1") -> Launch:
    """The records of a worker at work, whoever it is: what an attacker, or a copy, puts there."""
    job = yard.enqueued("search") if not yard.jobs.states() else next(iter(yard.jobs.states().values())).job
    worker_id = f"{job.job_id}.e1.{os.urandom(3).hex()}"
    now_s = yard.clock.monotonic_s()
    launch = Launch(worker_id, run_id, job, 1, nonce, "cpu0", 1, "", now_s, identity.boot_id(), one)
    snapshot.write_json(roots.launch(worker_id), tree_of(launch))
    beat = Heartbeat(worker_id, job.job_id, 1, one, job.phase, 5, 100, None, "", 1, now_s, "")
    snapshot.write_json(roots.heartbeat(worker_id), tree_of(beat))
    return launch


def copy_of(yard: Yard) -> Roots:
    """`cp -a` of the whole results root, live as it is."""
    target = yard.roots.results.with_name(f"{yard.roots.results.name}-copy")
    subprocess.run(["cp", "-a", str(yard.roots.results), str(target)], check=True)
    return Roots.from_environment({"RESULTS_ROOT": str(target)})


def typed_in(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on commands mean these roots."""
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"RESULTS_ROOT": str(roots.results), "TMUX_TMPDIR": str(roots.results)}.items():
        monkeypatch.setenv(name, value)


# a copy ---------------------------------------------------------------------------------------------------------------


def test_a_copy_has_no_id_until_it_gets_its_own_and_a_moved_root_keeps_its(here: Yard) -> None:
    known = root.look(here.roots.state).id
    copy = copy_of(here)
    try:
        assert (root.look(copy.state).id, root.look(copy.state).is_copy) == ("", True)
        root.settle(copy.state)
        assert root.look(copy.state).id not in ("", known)
        moved = copy.results.with_name(f"{copy.results.name}-moved")
        before = root.look(copy.state).id
        copy.results.rename(moved)
        assert root.look(moved / "state").id == before
        moved.rename(copy.results)
        assert root.look(here.roots.state).id == known
    finally:
        shutil.rmtree(copy.results)


def test_stop_and_cycles_in_a_copy_of_a_live_root_touch_nobody_of_the_original(
    here: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, at_work = worker(here)
    loop = member(here, of_member(here.roots))
    snapshot.write_json(here.roots.loop("watchdog"), {"identity": tree_of(identity_of(loop)), "began_s": 0.0})
    server = Server("bt-x", str(here.roots.results), identity_of(loop))
    snapshot.write_json(here.roots.swarm, tree_of(server))
    record = keeper.Keeper("process", of_swarm(here.roots), sys.executable, 5.0, "", identity=identity_of(loop))
    snapshot.write_json(here.roots.keeper, tree_of(record))
    copy = copy_of(here)
    try:
        typed_in(copy, monkeypatch)
        assert health.judge(copy)[1] == "never started"
        for name in ("worker_sentry", "operation_hang_guard"):
            with pytest.raises(cycle.Held, match="copy"):
                cycle.run_cycle(name, copy, clock=here.clock)
        assert stop.main([]) == 0
        copied = Yard(copy, here.clock)
        copied.clock.ahead_s += 600.0
        copied.roots.tombstone.unlink()
        for _ in range(4):
            copied.clock.ahead_s += 120.0
            cycle.run_cycle("worker_sentry", copy, clock=copied.clock)
        assert not copy.swarm.exists()
        assert not copy.keeper.exists()
        assert [at_work.poll(), loop.poll()] == [None, None]
        assert [identity.life_of(identity_of(one)) for one in (at_work, loop)] == ["running", "running"]
        assert {one.pid for one in identity.of_swarm(here.roots.state)} == {at_work.pid, loop.pid}
    finally:
        for one in identity.of_swarm(copy.state):
            processes.send(one, signal.SIGKILL)
        shutil.rmtree(copy.results)


def test_a_copy_of_a_root_of_the_version_before_touches_nobody_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no id, and its processes none in their environments: their path is the only difference."""
    with a_yard() as old:
        _, at_work, _ = old.worker(old.enqueued("search"))
        copy = copy_of(old)
        try:
            typed_in(copy, monkeypatch)
            assert stop.main([]) == 0
            assert at_work.poll() is None
            assert observe(old.roots, LIMITS, clock=old.clock).workers[0].life == "running"
        finally:
            shutil.rmtree(copy.results)


def test_a_copy_that_is_put_in_the_place_of_its_original_ends_nobody_there(
    here: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that was restored beside the running swarm: the path that its processes name is the copy's now."""
    launch, at_work = worker(here)
    known, aside = root.look(here.roots.state).id, here.roots.state.with_name("aside")
    here.roots.state.rename(aside)
    subprocess.run(["cp", "-a", str(aside), str(here.roots.state)], check=True)
    try:
        assert identity.of_swarm(here.roots.state) == []
        typed_in(here.roots, monkeypatch)
        assert stop.main([]) == 0
        assert root.look(here.roots.state).id != known
        assert [one.pid for one in identity.of_swarm(aside)] == [at_work.pid]
        assert processes.kill_tree(Tree.of(aside, launch.nonce, "bt-1"), None) == 1
    finally:
        shutil.rmtree(aside)


# an upgrade -----------------------------------------------------------------------------------------------------------


def test_a_live_swarm_of_the_version_before_stays_ours_when_its_root_gets_an_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with a_yard() as old:
        launch, at_work, _ = old.worker(old.enqueued("search"))
        record = snapshot.read_json(old.roots.heartbeat(launch.worker_id))
        assert isinstance(record, dict)
        del record["identity"]["namespace"]
        snapshot.write_json(old.roots.heartbeat(launch.worker_id), record)
        root.settle(old.roots.state)
        assert root.look(old.roots.state).id
        (view,) = observe(old.roots, LIMITS, clock=old.clock).workers
        assert view.life == "running"
        typed_in(old.roots, monkeypatch)
        assert stop.main([]) == 0
        assert at_work.wait(60) != 0


def test_a_root_whose_record_is_lost_gets_back_the_id_that_its_processes_carry(here: Yard) -> None:
    known = root.look(here.roots.state).id
    worker(here)
    here.roots.root_record.unlink()
    root.settle(here.roots.state)
    assert root.look(here.roots.state).id == known


# forged records -------------------------------------------------------------------------------------------------------


def other_root(here: Yard, nonce: str) -> dict[str, str]:
    return of_swarm(here.roots) | {NONCE: nonce, RUN: "bt-1", root.MARK: os.urandom(16).hex()}


def other_path(here: Yard, nonce: str) -> dict[str, str]:
    told = of_swarm(here.roots) | {NONCE: nonce, "STATE_ROOT": str(here.roots.results.parent)}
    return {name: value for name, value in told.items() if name != root.MARK}


def other_run(here: Yard, nonce: str) -> dict[str, str]:
    return of_swarm(here.roots) | {NONCE: nonce, RUN: "bt-2"}


def other_worker(here: Yard, nonce: str) -> dict[str, str]:
    return of_swarm(here.roots) | {NONCE: nonce, RUN: "bt-1", WORKER: "r0.SOL.aggressive.search.0.e1.true"}


def no_swarm(_: Yard, nonce: str) -> dict[str, str]:
    return {**os.environ, NONCE: nonce}


def a_loop(here: Yard, _: str) -> dict[str, str]:
    """Its nonce is the id of the root, which anybody can read there."""
    return of_member(here.roots)


@pytest.mark.parametrize("stranger", [other_root, other_path, other_run, other_worker, no_swarm, a_loop])
def test_a_forged_launch_record_that_names_a_stranger_ends_nobody(
    here: Yard, stranger: Callable[[Yard, str], dict[str, str]]
) -> None:
    """With the very nonce and identity of a process that differs in one thing only."""
    nonce = os.urandom(16).hex()
    environment = stranger(here, nonce)
    child = member(here, environment)
    launch = on_file(here, here.roots, identity_of(child), environment[NONCE])
    here.jobs.started(launch.job.job_id, 1, launch.worker_id, "cpu0")
    assert observe(here.roots, LIMITS, clock=here.clock).workers[0].life == "dead"
    for _ in range(4):
        here.cycle(after_s=120.0)
    assert not here.roots.launch(launch.worker_id).exists(), "it was never accounted for"
    tree = Tree.of(here.roots.state, environment[NONCE], "bt-1", launch.worker_id)
    assert processes.signal_tree(tree, signal.SIGTERM) == processes.kill_tree(tree, None) == 0
    assert child.poll() is None


def test_our_own_worker_is_still_ended_when_all_agrees(here: Yard) -> None:
    launch, child = worker(here)
    assert processes.kill_tree(Tree.of(here.roots.state, launch.nonce, "bt-1"), None) == 1
    assert child.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("environment", ["MARK alone", "NONCE alone"])
def test_a_sweep_matches_nobody_by_one_variable_alone(here: Yard, environment: str) -> None:
    known = root.look(here.roots.state).id
    one = {root.MARK: known} if environment == "MARK alone" else {NONCE: known}
    child = member(here, {**os.environ, **one})
    stop._sweep(here.roots)
    assert child.poll() is None


def test_a_keeper_record_that_names_a_stranger_ends_nobody(here: Yard) -> None:
    """He names our root as a keeper does, and is of another one."""
    told = other_root(here, os.urandom(16).hex()) | {keeper.MARK: str(here.roots.state)}
    child = member(here, told)
    assert keeper.processes_of(here.roots) == []
    assert child.poll() is None


# two spellings --------------------------------------------------------------------------------------------------------


def test_a_link_to_a_root_is_that_root(here: Yard) -> None:
    link = here.roots.results.with_name(f"{here.roots.results.name}-link")
    link.symlink_to(here.roots.results)
    try:
        assert Roots.from_environment({"RESULTS_ROOT": str(link)}) == here.roots
        named = Roots.from_environment({"RESULTS_ROOT": "/x", "STATE_ROOT": str(link / "state")})
        assert named.state == here.roots.state
    finally:
        link.unlink()


def test_a_swarm_of_the_version_before_that_was_started_through_a_link_is_ours(here: Yard) -> None:
    link = here.roots.results.with_name(f"{here.roots.results.name}-link")
    link.symlink_to(here.roots.results)
    try:
        told = {**os.environ, "STATE_ROOT": str(link / "state"), NONCE: "swarm"}
        child = member(here, told)
        assert [one.pid for one in identity.of_swarm(here.roots.state)] == [child.pid]
    finally:
        link.unlink()


# another PID namespace ------------------------------------------------------------------------------------------------

INSIDE = ("unshare", "--pid", "--fork", "--mount-proc")


def inside(roots: Roots, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command typed in a PID namespace of its own, as in a container that shares the root."""
    probe = subprocess.run([*INSIDE, "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"no PID namespace can be made here: {probe.stderr.strip()[:100]}")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TMUX", "STATE_", "LOGS_", "PYTEST"))}
    told = kept | {"RESULTS_ROOT": str(roots.results), "TMUX_TMPDIR": str(roots.results), "VENV_PATH": sys.prefix}
    return subprocess.run([*INSIDE, *words], env=told, capture_output=True, text=True, timeout=300, check=False)


def command(*words: str) -> list[str]:
    return [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize"), *words]


def test_from_another_pid_namespace_a_live_swarm_is_only_observed(here: Yard) -> None:
    _, at_work = worker(here)
    loop = member(here, of_member(here.roots))
    snapshot.write_json(here.roots.loop("watchdog"), {"identity": tree_of(identity_of(loop)), "began_s": 0.0})
    here.cycle("watchdog")
    held = presence.hold(here.roots.state)
    before = snapshot.read_json(here.roots.loop("watchdog"))
    try:
        for words in (["stop"], ["start", "--no-keeper"], ["keeper", "--uninstall"]):
            done = inside(here.roots, *command(*words))
            assert (done.returncode, "another PID namespace" in done.stderr) == (1, True), done.stderr
            assert f"pid:[{identity.namespace()}]" in done.stderr
        ensured = inside(here.roots, str(CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh"))
        assert (ensured.returncode, "only observed" in ensured.stderr) == (0, True), ensured.stderr
        status = inside(here.roots, *command("status", "--json"))
        assert json.loads(status.stdout)["workers"][0]["state"] == "running"
        agent = inside(here.roots, sys.executable, "-m", "agents", "worker_sentry")
        assert "another PID namespace" in agent.stderr
    finally:
        os.close(held)
    assert not here.roots.tombstone.exists()
    assert snapshot.read_json(here.roots.loop("watchdog")) == before
    assert [at_work.poll(), loop.poll()] == [None, None]


def test_a_swarm_whose_namespace_has_ended_is_taken_over(here: Yard) -> None:
    """A container that was started anew: nobody holds the lock, so nobody is alive there."""
    mark = snapshot.read_json(here.roots.root_record)
    assert isinstance(mark, dict)
    snapshot.write_json(here.roots.root_record, {**mark, "namespace": 17})
    held = presence.hold(here.roots.state)
    assert root.from_outside(root.look(here.roots.state)) is not None
    os.close(held)
    assert root.from_outside(root.look(here.roots.state)) is None
    settled, _ = root.settle(here.roots.state)
    assert (settled.id, settled.mark and settled.mark.namespace) == (mark["id"], identity.namespace())


# whoever works in a root that goes away -------------------------------------------------------------------------------


def test_a_loop_leaves_a_root_that_was_moved_and_stays_in_one_that_was_emptied(
    here: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = root.look(here.roots.state).id
    monkeypatch.setenv(root.MARK, known)
    place = presence.HeldRoot(here.roots.state)
    aside = here.roots.state.with_name("aside")
    try:
        here.roots.root_record.unlink()
        assert place.why_leave() == ""
        assert root.look(here.roots.state).id == known
        shutil.rmtree(here.roots.state)
        assert place.why_leave() == ""
        assert root.look(here.roots.state).id == known
        here.roots.state.rename(aside)
        assert f"was moved to {aside}" in place.why_leave()
        shutil.copytree(aside, here.roots.state)
        assert place.why_leave()
        place_in_copy = presence.HeldRoot(here.roots.state)
        assert "another swarm's" in place_in_copy.why_leave()
        place_in_copy.close()
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(aside)
        place.close()


def test_tmux_of_another_root_is_not_ours_although_it_says_our_path(here: Yard) -> None:
    """The label and the path are the original's; the id is not."""
    if not sessions.installed():
        pytest.skip("tmux is not installed")
    client = Tmux(here.roots, Server("bt-id", str(here.roots.results)), 5.0)
    client.start("one", ["cat"], of_member(here.roots))
    try:
        assert sessions.is_ours(client)
        client.call("set-environment", "-g", root.MARK, os.urandom(16).hex())
        assert not sessions.is_ours(client)
        snapshot.write_json(here.roots.swarm, {"label": "bt-id", "folder": str(here.roots.results)})
        stop._end_sessions(here.roots, LIMITS)
        assert [view.name for view in client.sessions()] == ["one"]
        reached = launcher._reachable(here.roots, LIMITS, [])
        assert reached.server.label != "bt-id"
    finally:
        client.end_server()
