"""A cold cycle imports nothing expensive that it does not need; `scripts/bench control-plane` measures the cost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.registry import AGENTS, Row
from config import settings
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots

# Milliseconds of CPU each costs, measured on 2 cores of an EPYC: filelock 38, psutil 20, the settings of everything 10
# (with yaml 35), traceback 15, argparse 8, tempfile 5, ctypes 5, uuid 5, shutil 4; libtmux 50.
DEAR = {
    "filelock",
    "config.settings",
    "yaml",
    "traceback",
    "argparse",
    "tempfile",
    "ctypes",
    "uuid",
    "shutil",
    "asyncio",
    "libtmux",
}
LOOKING = {"psutil", "subprocess"}  # only for agents that look at the machine or at tmux


@pytest.mark.parametrize("agent", AGENTS, ids=lambda row: row.name)
def test_a_cold_cycle_imports_nothing_dear(agent: Row, tmp_path: Path) -> None:
    environment = {"RESULTS_ROOT": str(tmp_path), "PATH": os.environ["PATH"], "TMUX_TMPDIR": str(tmp_path)}
    roots = Roots.from_environment(environment)
    snapshot.write_json(roots.settings, settings.tree_of(settings.load({})))
    snapshot.write_json(roots.tombstone, {"at": "", "by": "test"})  # so that nobody does anything
    command = [sys.executable, "-X", "importtime", "-m", "agents", agent.name]
    for _ in range(2):  # the first writes events: that there is no GPU, that the swarm is stopped
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.startswith(f"{agent.name}, cycle 2: ")) == (0, True), done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "agents.runtime.cycle" in imported
    assert imported & (DEAR | {"agents.machine.acts"}) == set()
    assert not imported & LOOKING or agent.load().sees
