"""Check the answers of commands during an attack: they come in time and say nothing false."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scripts.lab.faults.private import Swarm

ANSWER_S = 120.0  # seconds on a loaded machine; a command that hangs would not answer in an hour either
_CODES = range(3)
_SHOWN = 200  # characters of the output that are kept


def wrong_with(
    swarm: Swarm,
    *words: str,
    environment: Mapping[str, str] | None = None,
    codes: Sequence[int] = _CODES,
    must_say: str = "",
    must_not_say: str = "Traceback",
) -> list[str]:
    """Say what is wrong with the answer of `scripts/backtest-optimize` to these words; "" when nothing is."""
    return wrong_with_command([swarm.command, *words], swarm, environment, codes, must_say, must_not_say)


def wrong_with_command(
    command: Sequence[str],
    swarm: Swarm,
    environment: Mapping[str, str] | None = None,
    codes: Sequence[int] = _CODES,
    must_say: str = "",
    must_not_say: str = "Traceback",
) -> list[str]:
    """Say the same about any command."""
    typed = " ".join([Path(command[0]).name, *command[1:]])
    try:
        done = swarm.typed(*command, environment=environment, for_s=ANSWER_S)
    except subprocess.TimeoutExpired:
        return [f"`{typed}` gave no answer within {ANSWER_S:.0f} s"]
    said = done.stdout + done.stderr
    end = repr(said[-_SHOWN:])
    found = [] if done.returncode in codes else [f"`{typed}` ended with {done.returncode}: {end}"]
    found += [f"`{typed}` does not say {must_say!r}: {end}"] if must_say not in said else []
    return found + [f"`{typed}` says {word!r}" for word in {must_not_say, "Traceback"} if word in said]


def as_they_were(files: Mapping[Path, tuple[int, int, bytes]]) -> Callable[[], list[str]]:
    """Return the files that are gone, or whose inode, mode or content has changed."""

    def harm() -> list[str]:
        return [f"{path} was {found}" for path, before in files.items() if (found := _change(path, before))]

    return harm


def photograph(path: Path) -> tuple[int, int, bytes]:
    """Return inode, mode and content of each file."""
    status = path.lstat()
    return status.st_ino, status.st_mode, path.read_bytes()


def _change(path: Path, before: tuple[int, int, bytes]) -> str:
    try:
        inode, mode, content = photograph(path)
    except OSError:
        return "removed"
    if content != before[2]:
        return "written to"
    return "replaced" if inode != before[0] else f"closed ({oct(before[1])} → {oct(mode)})" if mode != before[1] else ""
