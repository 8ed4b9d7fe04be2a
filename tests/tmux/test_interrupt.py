"""Ctrl-C at a swarm that a job runner or `nohup … &` started: the command ends, the swarm goes on, all of it hears."""

import signal
import subprocess
import sys
from pathlib import Path

from state.files.tree import record_of
from state.host.identity import Identity, life_of
from tests.scripts.test_interrupt import IGNORED
from tests.tmux.swarm import COMMAND, LONG, Swarm


def ignores_ctrl_c(pid: int) -> bool:
    """As the kernel says it, of a process that may have handlers of its own."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(mask >> (signal.SIGINT - 1) & 1)


def test_ctrl_c_ends_the_command_and_nothing_in_the_swarm_is_deaf(swarm: Swarm, data: Path) -> None:
    words = ("--parallel", "--wait", "--symbols", "SYNTHETIC", "--data-path", str(data), "--rounds", "1", *LONG)
    with subprocess.Popen(
        [*IGNORED, sys.executable, str(COMMAND), *words],
        env=swarm.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        try:
            swarm.wait("the run", swarm.roots.current_run.exists)
            workers = [record_of(Identity, beat["identity"]) for beat in swarm.working("prescreen")]
            watching.send_signal(signal.SIGINT)
            _, said = watching.communicate(timeout=60)
        finally:
            watching.kill()
    assert watching.returncode == 130, said
    assert {life_of(one) for one in workers} == {"running"}
    loops = [swarm.loop(agent) for agent in ("worker_sentry", "operation_hang_guard", "watchdog")]
    assert [one.pid for one in (*workers, *loops, swarm.server()) if ignores_ctrl_c(one.pid)] == []
