"""Evidence for a handoff: commands that are really run, each with its answer."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.registry import AGENTS
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.records import results

_DEADLINE_S = 300.0  # seconds for one command: a replay of 4 MB of cycles takes many of them
_TAIL_LINES = 32  # lines: enough for an audit whose every check fails, which names the failures first
_WRONG = ("FAILED", "error:", "cycle ")  # how the line begins that says what is wrong: of audits, refusals, replays
_LONGEST = 300  # characters of one line of output


@dataclass(frozen=True)
class CommandRun:
    """One command that was run. `code` is None when the command could not be started or did not end in time."""

    what: str
    command: str
    code: int | None
    tail: tuple[str, ...]
    duration_s: float

    @property
    def passed(self) -> bool:
        """Whether the command ended with exit code 0."""
        return self.code == 0

    @property
    def why(self) -> str:
        """The line that says what is wrong: the first with a failure word, else the last; "" when all is well."""
        if self.passed or not self.tail:
            return ""
        return next((line.strip() for line in self.tail if line.strip().startswith(_WRONG)), self.tail[-1])

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as JSON values."""
        return {**asdict(self), "tail": list(self.tail), "passed": self.passed}


def collect(roots: Roots, has_outcome: bool, say: Callable[[str], None]) -> list[CommandRun]:
    """Run all commands, one after the other."""
    found = []
    for what, command in commands(roots, has_outcome):
        say(what)
        found.append(run(what, command, roots))
    return found


def commands(roots: Roots, has_outcome: bool) -> list[tuple[str, list[str]]]:
    """Return the commands: health, continuity, an audit, all checksums, and a replay of every agent's decisions.

    Before the first result, checksums are left out: there is no artifact whose loss they could show.
    """
    query = ["python3", "scripts/infra/session_state_manager.py", "--query", "--json"]
    state_file = ["--state-file", str(roots.agent_state("session_state_manager"))]
    asked = [
        ("health", ["scripts/backtest-optimize", "health"]),
        ("continuity", [*query, *state_file]),
        ("process audit", ["scripts/process_auditor.py"]),
    ]
    if has_outcome or results.folders(roots.optimizations):
        asked.append(("checksums of all artifacts", ["scripts/backtest-optimize", "checksums"]))
    for row in AGENTS:
        journal = _recorded(roots.cycles(row.name))
        if journal is not None:
            command = [sys.executable, "-m", "agents", row.name, "--replay", str(journal)]
            asked.append((f"replay of {row.name}", command))
    return asked


def run(what: str, command: list[str], roots: Roots) -> CommandRun:
    """Run one command in the checkout, on these roots."""
    own = {"RESULTS_ROOT": str(roots.results), "STATE_ROOT": str(roots.state), "LOGS_ROOT": str(roots.logs)}
    began_s = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=_environment() | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_DEADLINE_S,
            check=False,
        )
        code, said = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired:
        code, said = None, f"no answer within {_DEADLINE_S:.0f} s"
    except OSError as error:
        code, said = None, f"cannot be run: {error.strerror}"
    return CommandRun(what, shlex.join(command), code, _tail(said), round(time.monotonic() - began_s, 2))


def _tail(said: str) -> tuple[str, ...]:
    """Return the last lines; an ellipsis marks what was cut, before them or at the end of one."""
    lines = [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…" for line in said.strip().splitlines()]
    cut = len(lines) - _TAIL_LINES
    return tuple(lines) if cut <= 0 else (f"… {cut} earlier lines", *lines[cut:])


def _environment() -> dict[str, str]:
    return {"VENV_PATH": sys.prefix, **os.environ}


def _recorded(path: Path) -> Path | None:
    """Return the journal that holds whole decisions: after a rotation the older file, until the agent acts again."""
    for file in (path, path.with_name(f"{path.name}.1")):
        if any(isinstance(record, dict) and "world" in record for record in Journal(file).read().records):
            return file
    return None
