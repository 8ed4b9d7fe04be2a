"""How the costs of the control plane are measured: CPU time of processes, wall time where a person waits."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from config.errors import Refused
from scripts.lab.private_swarm import PrivateSwarm
from state.files.layout import CHECKOUT

_HELD = "is under way"  # the loop's own cycle held the lock, so nothing was measured
_FORKED_RUNS = 20
_ENSURE = CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh"
_QUERY = CHECKOUT / "scripts" / "infra" / "session_state_manager.py"
_COMMAND = CHECKOUT / "scripts" / "backtest-optimize"


def bare_python_ms(runs: int, swarm: PrivateSwarm) -> list[float]:
    """Return the CPU milliseconds of a Python that does nothing."""
    return [_cpu_ms([sys.executable, "-c", "pass"], swarm)[0] for _ in range(runs)]


def cold_cycles_ms(agent: str, runs: int, swarm: PrivateSwarm) -> list[float]:
    """Return the CPU milliseconds of agents that run once, each in a new interpreter; bytecode is compiled before."""
    _cpu_ms([sys.executable, "-m", "agents", agent], swarm)
    took: list[float] = []
    while len(took) < runs:
        cpu_ms, said = _cpu_ms([sys.executable, "-m", "agents", agent], swarm)
        if _HELD not in said:
            took.append(cpu_ms)
    return took


def forked_cycles_ms(agent: str, swarm: PrivateSwarm) -> list[float]:
    """Return the CPU milliseconds of cycles that are forked as a loop forks them, including the parent's share."""
    program = f"from scripts.lab.costs import fork_cycles; fork_cycles({agent!r})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        env=swarm.environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    took: list[float] = json.loads(done.stdout.splitlines()[-1])
    return took


def fork_cycles(agent: str) -> None:
    """Run cycles in the new process like a loop, but without waiting."""
    from agents.machine.observe import limits_of
    from agents.registry import row
    from agents.runtime import loop
    from state.files.layout import Roots

    roots = Roots.from_environment()
    loop.preload(row(agent))
    marks = [_spent_ms()]
    for _ in range(_FORKED_RUNS):
        loop.one_cycle(agent, roots, limits_of(roots))
        marks.append(_spent_ms())
    print(json.dumps([after - before for before, after in pairwise(marks)]))


def ensure_ms(runs: int, swarm: PrivateSwarm) -> list[float]:
    """Return the wall milliseconds of `ensure_swarm_watchdogs.sh`."""
    return [_wall_ms(["bash", str(_ENSURE)], swarm) for _ in range(runs)]


def questions_ms(runs: int, swarm: PrivateSwarm) -> tuple[list[float], list[float]]:
    """Return the wall milliseconds of `--query --json` and of `status --json`."""
    state = str(swarm.roots.agent_state("session_state_manager"))
    query = [sys.executable, str(_QUERY), "--query", "--json", "--state-file", state]
    status = [sys.executable, str(_COMMAND), "status", "--json"]
    return [_wall_ms(query, swarm) for _ in range(runs)], [_wall_ms(status, swarm) for _ in range(runs)]


def write_events(path: Path, number: int) -> None:
    """Write that many events, half of them into the rotated journal."""
    for target in (path.with_name(f"{path.name}.1"), path):
        with target.open("a", encoding="utf-8") as file:
            for n in range(number // 2):
                event = {"at": "2026-01-31T23:59:59.123Z", "event": "incident_closed", "id": f"worker_silent:r0.{n}"}
                file.write(json.dumps(event, separators=(",", ":")) + "\n")


def private_mb(pid: int) -> float:
    """Return the private memory of a process in megabytes; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000


def _cpu_ms(command: Sequence[str], swarm: PrivateSwarm) -> tuple[float, str]:
    """Return the CPU milliseconds of a process and the children it waited for, and its standard error."""
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=swarm.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Refused(f"{' '.join(command)} failed: {said.strip()}", "type that command to see why, then measure again")
    return 1e3 * (used.ru_utime + used.ru_stime), said


def _wall_ms(command: Sequence[str], swarm: PrivateSwarm) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        command, env=swarm.environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    took = time.perf_counter() - began
    if done.returncode or done.stderr:
        raise Refused(
            f"{' '.join(command)} is not as it should be: {done.stderr.strip() or done.returncode}",
            "type that command to see why, then measure again",
        )
    return 1e3 * took


def _spent_ms() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return 1e3 * sum(used.ru_utime + used.ru_stime for used in both)
