"""Which variables of the operator's shell the swarm is told: those it needs by name, and never one that is a secret.

A shell holds API keys; a process of the swarm that inherited them would show them in its own environment, in tmux's,
and to every hook.
"""

import os
from collections.abc import Mapping

from state.layout import Roots
from state.private import UMASK
from state.secrets import is_secret_name

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


def allowed(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of `environment` (default: this process's) what may be handed on."""
    environment = os.environ if environment is None else environment
    kept = {name: environment[name] for name in _NAMES if name in environment}
    settings = {n: v for n, v in environment.items() if n.startswith(_SETTINGS) and not is_secret_name(n)}
    return kept | settings


def of_swarm(roots: Roots, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every process of the swarm is told: what is allowed, and its roots."""
    named = {"RESULTS_ROOT": str(roots.results), "STATE_ROOT": str(roots.state), "LOGS_ROOT": str(roots.logs)}
    return allowed(environment) | named
