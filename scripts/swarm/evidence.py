"""Verification evidence: commands that are really run, each with what it answered."""

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

_DEADLINE_S = 300.0  # for one command: a replay of 4 MB of cycles takes seconds
_TAIL_LINES = 32  # an audit of which every check fails, with its ways out: what is wrong stands first there
_WRONG = ("FAILED", "error:", "cycle ")  # how an audit, checksums, a refusal and a replay begin to say it
_LONGEST = 300  # characters of one line of output


@dataclass(frozen=True)
class CommandRun:
    """One command that was run; `code` None: it could not be started, or did not end in time."""

    what: str
    command: str
    code: int | None
    tail: tuple[str, ...]
    duration_s: float

    @property
    def passed(self) -> bool:
        """Whether it says that all is well."""
        return self.code == 0

    @property
    def why(self) -> str:
        """The line that says what is wrong: the first that says so itself, else the last; nothing when all is well."""
        if self.passed or not self.tail:
            return ""
        return next((line.strip() for line in self.tail if line.strip().startswith(_WRONG)), self.tail[-1])

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "tail": list(self.tail), "passed": self.passed}


def collect(roots: Roots, has_outcome: bool, say: Callable[[str], None]) -> list[CommandRun]:
    """Run all of them, one after the other."""
    found = []
    for what, command in commands(roots, has_outcome):
        say(what)
        found.append(run(what, command, roots))
    return found


def commands(roots: Roots, has_outcome: bool) -> list[tuple[str, list[str]]]:
    """What is asked: health, continuity, an audit, every artifact's checksum, every agent's decisions once more.

    Before the first result nobody asks for checksums: there is nothing whose loss they could show.
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
    """Run it in the checkout, on these roots."""
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
    """The last lines; what was cut, before them or at the end of one, says so."""
    lines = [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…" for line in said.strip().splitlines()]
    cut = len(lines) - _TAIL_LINES
    return tuple(lines) if cut <= 0 else (f"… {cut} earlier lines", *lines[cut:])


def _environment() -> dict[str, str]:
    return {"VENV_PATH": sys.prefix, **os.environ}


def _recorded(path: Path) -> Path | None:
    """The journal that holds whole decisions: after a rotation that is the one before, until somebody acts again."""
    for file in (path, path.with_name(f"{path.name}.1")):
        if any(isinstance(record, dict) and "world" in record for record in Journal(file).read().records):
            return file
    return None
