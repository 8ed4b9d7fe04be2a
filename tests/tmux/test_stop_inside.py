"""`stop` typed where it would end itself: in a pane of the swarm, and by a hook, whose parent ends all below it."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from state.files.layout import CHECKOUT
from state.host import identity
from state.host.environment import of_swarm
from state.host.identity import NONCE
from tests.tmux.swarm import COMMAND, Swarm

CONTAINED = "import sys; from hooks import contained; sys.exit(contained.main(sys.argv[1:]))"


def is_stopped(swarm: Swarm) -> bool:
    said = swarm.roots.stop_log
    return said.exists() and "it stays stopped" in said.read_text() and not identity.of_swarm(swarm.roots.state)


def by_a_hook(swarm: Swarm, hook: Path) -> str:
    """Return what the hook said; its parent reports and ends every process below itself, as for every hook."""
    hook.write_text(f"#!/bin/sh\nexec {shlex.quote(str(COMMAND))} stop\n")
    hook.chmod(0o700)
    reads, writes = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", CONTAINED, str(writes), str(os.getpid()), "60", str(hook)],
        env=of_swarm(swarm.roots, swarm.environment) | {NONCE: "swarm"},
        cwd=CHECKOUT,
        pass_fds=(writes,),
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(writes)
    os.close(reads)
    return done.stdout


def test_stop_from_a_hook_and_from_a_pane_ends_everything_and_says_where_it_goes_on(
    swarm: Swarm, tmp_path: Path
) -> None:
    assert swarm.type("start", "--no-keeper").returncode == 0
    assert "stop goes on outside" in by_a_hook(swarm, tmp_path / "hook")
    swarm.wait("the stop", lambda: is_stopped(swarm))
    assert swarm.roots.tombstone.exists()
    swarm.roots.stop_log.unlink()
    assert swarm.type("start", "--no-keeper").returncode == 0
    typed = f"{shlex.quote(str(COMMAND))} stop > {shlex.quote(str(tmp_path / 'said'))}"
    swarm.tmux("split-window", "-d", "-t", "=bt-watchdog:", typed)
    swarm.wait("the stop", lambda: is_stopped(swarm))
    assert swarm.roots.tombstone.exists()
    assert "stop goes on outside" in (tmp_path / "said").read_text()
