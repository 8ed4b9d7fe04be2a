"""Move a command that was typed inside the swarm out of it, because whatever runs inside ends with the swarm.

`stop` typed in a pane, a hook or a worker's child would end itself. So the tmux server starts the command, without a
parent in the swarm and without a mark of it. When the server gives no answer, the command leaves by itself as far as a
process can: the parent of a hook or of a worker ends every process below it.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agents.machine.sessions import NoAnswer, Tmux
from hooks.contained import HELD_BACK
from state.files import made
from state.files.layout import CHECKOUT, Roots
from state.host import identity
from state.host.environment import of_swarm
from state.host.identity import NONCE

_TIMEOUT_S = 5.0
# It has its own session and its parent is gone, so it dies with no other process. Arguments: LOG PYTHON WORD…
_LEAVE = """
import os, sys
if os.fork(): os._exit(0)
os.setsid()
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
for number in (1, 2): os.dup2(log, number)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.execv(sys.argv[2], sys.argv[2:])
"""


def is_inside(roots: Roots) -> bool:
    """Whether this process or one of its ancestors belongs to the swarm of this root."""
    return any(identity.is_in(pid, roots.state) for pid in (os.getpid(), *_ancestors()))


def run(roots: Roots, words: Sequence[str]) -> Path:
    """Run `backtest-optimize WORD…` outside the swarm; return the log that it writes to."""
    log = roots.stop_log
    made.log(roots, log).close()  # on record as a log of ours; the other process appends to it
    command = [sys.executable, "-S", "-c", _LEAVE, str(log), sys.executable]
    command += [str(CHECKOUT / "scripts" / "backtest-optimize"), *words]
    plain = of_swarm(roots) | {"VENV_PATH": sys.prefix}
    if not _by_tmux(roots, command, plain):
        unmarked = {name: value for name, value in {**os.environ, **plain}.items() if name not in (NONCE, HELD_BACK)}
        subprocess.run(command, env=unmarked, cwd=CHECKOUT, stdin=subprocess.DEVNULL, check=False)
    return log


def _by_tmux(roots: Roots, command: Sequence[str], environment: dict[str, str]) -> bool:
    """Whether the tmux server started it; False without libtmux, as in a broken environment."""
    words = shlex.join(["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command])
    try:
        return Tmux.of(roots, _TIMEOUT_S).acting().run_outside(words)
    except (NoAnswer, OSError, ModuleNotFoundError):
        return False


def _ancestors() -> Iterator[int]:
    """Return the parent of this process, its parent, and so on up to the first process."""
    pid = os.getppid()
    while pid > 1:
        yield pid
        try:
            after = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        except OSError:
            return
        pid = int(after.split()[1])
