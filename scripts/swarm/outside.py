"""Move a command that was typed inside the swarm out of it: whatever runs in there ends with it.

A pane, a hook, a worker's child: `stop` typed there would be among those that it ends. The tmux server starts it
instead, as nobody's child and with no mark of the swarm; where that gives no answer it leaves by itself, as far as a
process can: the parent of a hook or of a worker ends whoever is below it.
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
# A session of its own and a parent that is gone: nobody's death is its own. LOG PYTHON WORD…
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
    """Whether this process, or one that it was started by, belongs to the swarm of this root."""
    return any(identity.is_in(pid, roots.state) for pid in (os.getpid(), *_ancestors()))


def run(roots: Roots, words: Sequence[str]) -> Path:
    """Have `backtest-optimize WORD…` run outside; the log that it writes to."""
    log = roots.stop_log
    made.log(roots, log).close()  # on record as ours; the other process appends to it
    command = [sys.executable, "-S", "-c", _LEAVE, str(log), sys.executable]
    command += [str(CHECKOUT / "scripts" / "backtest-optimize"), *words]
    plain = of_swarm(roots) | {"VENV_PATH": sys.prefix}
    if not _by_tmux(roots, command, plain):
        unmarked = {name: value for name, value in {**os.environ, **plain}.items() if name not in (NONCE, HELD_BACK)}
        subprocess.run(command, env=unmarked, cwd=CHECKOUT, stdin=subprocess.DEVNULL, check=False)
    return log


def _by_tmux(roots: Roots, command: Sequence[str], environment: dict[str, str]) -> bool:
    """Whether the server took it; without libtmux, beside a broken environment, nobody asks it."""
    words = shlex.join(["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command])
    try:
        return Tmux.of(roots, _TIMEOUT_S).acting().run_outside(words)
    except (NoAnswer, OSError, ModuleNotFoundError):
        return False


def _ancestors() -> Iterator[int]:
    """Who started this process, and who started that one, up to the first of all."""
    pid = os.getppid()
    while pid > 1:
        yield pid
        try:
            after = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        except OSError:
            return
        pid = int(after.split()[1])
