"""A real swarm on a private socket, in its own roots, with real workers; at the end nothing of it is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents import registry
from agents.machine import processes
from config import settings
from state.files import private, snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import record_of
from state.host import identity
from state.host.identity import Identity

COMMAND = CHECKOUT / "scripts" / "backtest-optimize"
# No paths, and none of the three seconds that skfolio takes to load. `test_two_modes…` in test_whole_runs.py has them.
FOLDS_OF_A_DAY = {
    "BACKTEST_OPTIMIZE__CROSS_VALIDATION__FOLDS": "100",
    "BACKTEST_OPTIMIZE__CROSS_VALIDATION__TEST_FOLDS": "99",
}
SETTINGS = {
    "BACKTEST_OPTIMIZE__SWARM__AGENTS__CADENCE_SCALE": "0.05",
    "BACKTEST_OPTIMIZE__SWARM__AGENTS__CYCLE_DEADLINE_S": "5",
    "BACKTEST_OPTIMIZE__SWARM__AGENTS__TMUX_TIMEOUT_S": "2",
    "BACKTEST_OPTIMIZE__SWARM__LANES__COUNT": "2",
    "BACKTEST_OPTIMIZE__SWARM__JOBS__SHARD_COMBOS": "200000",  # two workers to a prescreen: each more costs its start
    "BACKTEST_OPTIMIZE__SWARM__LANES__NICE": "0",  # or they starve beside other tests
    "BACKTEST_OPTIMIZE__SWARM__AGENTS__ADVISERS": "false",  # each costs a Python to start
    "BACKTEST_OPTIMIZE__PRESCREEN__BATCH_COMBOS": "512",
    "BACKTEST_OPTIMIZE__WALK_FORWARD__COMBOS": "40",
    "BACKTEST_OPTIMIZE__SEARCH__BATCH_TRIALS": "8",
    "BACKTEST_OPTIMIZE__VALIDITY__DRAWS": "50",
    "BACKTEST_OPTIMIZE__VALIDITY__PLACEBO_MARKETS": "2",
    "BACKTEST_OPTIMIZE__VALIDITY__BLOCKS": "8",
    **FOLDS_OF_A_DAY,
}
SMALL = ("--prescreen", "2000", "--trials", "24", "--paths", "50")
SESSIONS = registry.sessions(settings.with_values(settings.load({}), swarm={"agents": {"advisers": False}}).swarm)
# Two workers with seconds of prescreen each: time to be killed in, for tests that wait for the end of the run.
MIDDLE = ("--prescreen", "240000", "--trials", "24", "--paths", "50")
LONG = ("--prescreen", "2000000", "--trials", "24", "--paths", "50")  # it outlives all that a test looks at
_DEADLINE_S = 400.0  # for anything to come true on a loaded machine; no test measures it


class Swarm:
    """One root and its commands."""

    def __init__(self, results: Path, sockets: Path) -> None:
        ours = (
            "RESULTS_ROOT",
            "BACKTEST_OPTIMIZE_DATA",
            "STATE_ROOT",
            "LOGS_ROOT",
            "BACKTEST_OPTIMIZE_CONFIG",
            "TMUX",
            "TMUX_PANE",
            private.UMASK,
        )
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        roots = {"RESULTS_ROOT": str(results), "TMUX_TMPDIR": str(sockets), "VENV_PATH": sys.prefix, "TERM": "xterm"}
        self.environment = kept | SETTINGS | roots
        self.roots = Roots.from_environment(self.environment)
        self.limits = settings.load(self.environment).swarm

    # what people type -------------------------------------------------------------------------------------------------

    def type(self, *arguments: str, command: Path = COMMAND, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the swarm to its end."""
        return subprocess.run(
            [str(command), *arguments],
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def launch(self, data: Path, *arguments: str) -> None:
        """`--parallel` on these bars, one round; returns at once. Work without an end takes only what others leave."""
        if arguments[: len(LONG)] == LONG:
            self.environment["BACKTEST_OPTIMIZE__SWARM__LANES__NICE"] = "19"
        done = self.type("--parallel", "--symbols", "SYNTHETIC", "--data-path", str(data), "--rounds", "1", *arguments)
        assert done.returncode == 0, done.stderr

    def status(self) -> dict[str, Any]:
        """`status --json`."""
        done = self.type("status", "--json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def ensure(self) -> subprocess.CompletedProcess[str]:
        """`ensure_swarm_watchdogs.sh`."""
        return self.type(command=CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh")

    def stop(self) -> None:
        """`stop`; refusing is a failure of the test."""
        done = self.type("stop")
        assert done.returncode == 0, done.stderr

    # what is ----------------------------------------------------------------------------------------------------------

    def wait(self, what: str, is_true: Callable[[], Any]) -> Any:
        """Look until it is true; the only place in these tests that lets time pass."""
        deadline = time.monotonic() + _DEADLINE_S
        while not (answer := is_true()):
            assert time.monotonic() < deadline, f"never came: {what}\n{json.dumps(self.status(), indent=1)[-3000:]}"
            time.sleep(0.05)
        return answer

    def working(self, phase: str, number: int = 1) -> list[dict[str, Any]]:
        """Workers of a phase that have made progress, once there are so many."""

        def found() -> list[dict[str, Any]]:
            beats = [snapshot.read_json(path) for path in (self.roots.state / "heartbeats").glob("*.json")]
            there = [beat for beat in beats if beat and beat["phase"] == phase and 0 < beat["done"] < beat["total"]]
            return there if len(there) >= number else []

        answer: list[dict[str, Any]] = self.wait(f"{number} workers in {phase}", found)
        return answer

    def finished(self) -> dict[str, Any]:
        """The run's last record, once it is there."""
        folder = self.roots.swarm_run(str(snapshot.read_json(self.roots.current_run)["run_id"]))
        answer: dict[str, Any] = self.wait("the end of the run", lambda: snapshot.read_json(folder.finished))
        return answer

    def journal(self) -> list[dict[str, Any]]:
        """All job events of the first round."""
        folder = self.roots.swarm_run(str(snapshot.read_json(self.roots.current_run)["run_id"])).round(0)
        return [json.loads(line) for line in folder.jobs.read_text().splitlines()]

    def cycle(self, agent: str) -> int:
        """How many cycles the agent has done."""
        state = snapshot.read_json(self.roots.agent_state(agent))
        return int(state["cycle"]) if isinstance(state, dict) else 0

    def loop(self, agent: str) -> Identity:
        """The process that runs the agent's cycles, once it is there."""
        record = self.wait(f"the loop of {agent}", lambda: snapshot.read_json(self.roots.loop(agent)))
        return record_of(Identity, record["identity"])

    def server(self) -> Identity:
        """The tmux server."""
        return record_of(Identity, snapshot.read_json(self.roots.swarm)["process"])

    def tmux(self, *arguments: str) -> str:
        """A tmux command to our server."""
        label = snapshot.read_json(self.roots.swarm)["label"]
        command = ["tmux", "-L", label, "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout

    def sessions(self) -> list[str]:
        """The names of all sessions, sorted."""
        return sorted(self.tmux("list-sessions", "-F", "#{session_name}").split())

    def end_everything(self) -> None:
        """End every process that carries one of our roots, whatever the test did."""
        marks = (f"STATE_ROOT={self.roots.state}".encode(), f"RESULTS_ROOT={self.roots.results}".encode())
        deadline, looks_without = time.monotonic() + _DEADLINE_S, 0
        while looks_without < 2:  # whoever is between fork and exec shows no environment for a moment
            there = _carriers(marks)
            for one in there:
                processes.send(one, signal.SIGKILL)
            looks_without = 0 if there else looks_without + 1
            assert time.monotonic() < deadline, f"these do not end: {there}"


def kill(one: Identity | dict[str, Any], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to exactly this process."""
    target = one if isinstance(one, Identity) else record_of(Identity, one)
    assert processes.send(target, number), f"{target} is gone"


@contextmanager
def swarm() -> Iterator[Swarm]:
    """A root with a short name: a socket's path may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as folder:
        sockets = Path(folder) / "t"
        sockets.mkdir(mode=0o700)
        one = _in(Path(folder))
        with _ended_with_us(folder):
            try:
                yield one
            finally:
                one.end_everything()


def _in(folder: Path) -> Swarm:
    return Swarm(folder / "r", folder / "t")


@contextmanager
def _ended_with_us(folder: str) -> Iterator[None]:
    """Have a shell end the swarm if this process is killed, as xdist kills its own when a person interrupts them."""
    end = [sys.executable, "-m", __name__, folder]
    shell = subprocess.Popen(
        ["bash", "-c", 'read -r line || exec "$@"', "-", *end],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        shell.communicate(b"it has ended\n")


def _carriers(marks: tuple[bytes, ...]) -> list[Identity]:
    """Everybody else whose environment holds one of these marks; whoever is dead and not reaped yet has none."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    found = [identity.of(pid) for pid in pids if pid != os.getpid() and _carries(Path(f"/proc/{pid}"), marks)]
    return [one for one in found if one is not None]


def _carries(folder: Path, marks: tuple[bytes, ...]) -> bool:
    try:
        pairs = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(mark in pairs for mark in marks)


if __name__ == "__main__":
    _in(Path(sys.argv[1])).end_everything()
    shutil.rmtree(sys.argv[1])
