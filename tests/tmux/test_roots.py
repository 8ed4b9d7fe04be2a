"""A root is copied, linked to, or shared with another PID namespace under a live swarm, which lives on."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.registry import at_work
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.host import identity
from state.host.identity import Identity
from tests.tmux.swarm import COMMAND, LONG, Swarm

ENSURE = CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh"
INSIDE = ("unshare", "--pid", "--fork", "--mount-proc")


def members(swarm: Swarm) -> dict[str, Identity]:
    """The tmux server and every loop, once a worker is at work."""
    swarm.working("prescreen")
    return {"tmux": swarm.server(), **{row.name: swarm.loop(row.name) for row in at_work(swarm.limits)}}


def check_that_all_live(swarm: Swarm, there: dict[str, Identity]) -> None:
    """The very same processes; workers end when they are done, and by nothing else."""
    assert {name: identity.life_of(one) for name, one in there.items()} == dict.fromkeys(there, "running")
    assert not [event for event in swarm.journal() if event["event"] == "died"]


def inside(swarm: Swarm, *words: str) -> "subprocess.CompletedProcess[str]":
    """Type a command in another PID namespace, as in a container that shares the root."""
    told = swarm.environment
    return subprocess.run([*INSIDE, *words], env=told, capture_output=True, text=True, timeout=300, check=False)


@contextmanager
def copied(swarm: Swarm, name: str) -> Iterator[tuple[str, Roots]]:
    """`cp -a` of everything, as it is in this moment; ended and removed afterwards."""
    target = swarm.roots.results.with_name(name)
    command = ["cp", "-a", str(swarm.roots.results), str(target)]
    done = subprocess.run(command, env={"LC_ALL": "C"}, stderr=subprocess.PIPE, text=True, check=False)
    # A file that is being written is renamed while cp lists its folder.
    assert all(line.endswith("No such file or directory") for line in done.stderr.splitlines()), done.stderr
    roots = Roots.from_environment({"RESULTS_ROOT": str(target)})
    try:
        yield str(target), roots
    finally:
        swarm.type("stop", RESULTS_ROOT=str(target))
        assert identity.of_swarm(roots.state) == []
        shutil.rmtree(target)


def test_no_copy_of_a_live_root_ends_anybody_of_the_original(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG, "--no-keeper")
    there = members(swarm)
    with copied(swarm, "stopped") as (root, _):
        assert swarm.type("stop", RESULTS_ROOT=root).returncode == 0
        assert swarm.type("start", "--no-keeper", RESULTS_ROOT=root).returncode == 0
    with copied(swarm, "ensured") as (root, roots):
        done = swarm.type(command=ENSURE, RESULTS_ROOT=root)
        assert (done.returncode, "was copied from another root" in done.stderr) == (0, True), done.stderr
        assert snapshot.read_json(roots.root_record)["id"] != snapshot.read_json(swarm.roots.root_record)["id"]
        agents = [row.name for row in at_work(swarm.limits)]
        new = Swarm(roots.results, Path(swarm.environment["TMUX_TMPDIR"]))
        swarm.wait("their first cycles", lambda: all(new.cycle(name) >= 2 for name in agents))
        assert new.server() != there["tmux"]
    check_that_all_live(swarm, there)


def test_a_link_and_another_pid_namespace_make_no_second_swarm(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG, "--no-keeper")
    there = members(swarm)
    link = swarm.roots.results.with_name("link")
    link.symlink_to(swarm.roots.results)
    done = swarm.type("start", "--no-keeper", "--json", RESULTS_ROOT=str(link))
    assert '"started": []' in done.stdout, done.stdout + done.stderr
    if subprocess.run([*INSIDE, "true"], capture_output=True, check=False).returncode == 0:
        for words, code in (([str(ENSURE)], 0), ([str(COMMAND), "start"], 1), ([str(COMMAND), "stop"], 1)):
            done = inside(swarm, *words)
            assert (done.returncode, "another PID namespace" in done.stderr) == (code, True), done.stderr
        assert "dead" not in inside(swarm, str(COMMAND), "health").stdout
    check_that_all_live(swarm, there)
    assert swarm.type("stop", RESULTS_ROOT=str(link)).returncode == 0
    assert identity.of_swarm(swarm.roots.state) == []
    assert {identity.life_of(one) for one in there.values()} == {"dead"}
