"""A test process that is killed leaves no swarm: so a person may interrupt the tests at any moment."""

import subprocess
import sys
import time
from pathlib import Path

from state.files.layout import CHECKOUT
from state.host import identity

_TEST = """
import sys
from tests.tmux.swarm import swarm
with swarm() as one:
    print(one.type("start").returncode, one.roots.state, flush=True)
    sys.stdin.read()
"""
_SOON_S = 120.0


def test_a_test_process_that_is_killed_leaves_no_swarm_and_no_folder() -> None:
    command = [sys.executable, "-c", _TEST]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        code, state = test.stdout.readline().split()
        assert code == "0"
        assert identity.of_swarm(Path(state)) != []
        test.kill()
    folder, deadline = Path(state).parent.parent, time.monotonic() + _SOON_S
    while folder.exists():
        assert time.monotonic() < deadline, f"{folder} is still there"
    assert identity.of_swarm(Path(state)) == []
