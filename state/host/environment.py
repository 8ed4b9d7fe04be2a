"""Choose the variables of the operator's shell that the swarm gets: those that it needs by name, and never a secret.

A shell may hold API keys. A process of the swarm that inherited them would show them in its own environment, in that of
tmux, and to every hook.
"""

import os
from collections.abc import Mapping

from state.files.layout import Roots
from state.files.private import UMASK
from state.host import identity, root
from state.host.identity import NONCE
from state.host.process import UTF8
from state.host.root import MARK
from state.host.secrets import is_secret_name

_NAMES = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TMUX_TMPDIR"),
    *(
        "VENV_PATH",
        "PYTHONPATH",
        "NUMBA_CACHE_DIR",
        "LD_LIBRARY_PATH",
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
    ),
    *("BACKTEST_OPTIMIZE_GATES", "BACKTEST_OPTIMIZE_CONFIG", "BACKTEST_OPTIMIZE_DEV", UMASK),
)
_SETTINGS = "BACKTEST_OPTIMIZE__"
_NO_ID = "swarm"  # the nonce of loops while the root has no id yet


def allowed(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of `environment` (default: of this process) that may be handed on."""
    environment = os.environ if environment is None else environment
    kept = {name: environment[name] for name in _NAMES if name in environment}
    settings = {n: v for n, v in environment.items() if n.startswith(_SETTINGS) and not is_secret_name(n)}
    return kept | settings


def of_swarm(roots: Roots, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a process of the swarm: what is allowed, its roots, and the id of its state root."""
    named = {"RESULTS_ROOT": str(roots.results), "STATE_ROOT": str(roots.state), "LOGS_ROOT": str(roots.logs)}
    known = root.look(roots.state).id
    return allowed(environment) | named | {UTF8: "1"} | ({MARK: known} if known else {})


def of_member(roots: Roots) -> dict[str, str]:
    """Return the environment of tmux and of loops, which belong to no worker: their nonce is the id of the root."""
    told = of_swarm(roots)
    return told | {NONCE: told.get(MARK) or _NO_ID}


def is_member(pid: int, roots: Roots) -> bool:
    """Whether a process of this swarm belongs to no worker. In an older version its nonce is a fixed word."""
    return any(identity.carries(pid, nonce) for nonce in (root.look(roots.state).id or _NO_ID, _NO_ID))
