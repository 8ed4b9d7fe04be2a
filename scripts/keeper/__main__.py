"""Look after one swarm: `python -S -E scripts/keeper STATE_ROOT [--once]`; what systemd, cron or a process runs.

The standard library alone: it starts in milliseconds and needs no virtual environment to say that there is none.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from scripts.keeper.watch import main  # noqa: E402 - found only now: this is run by path, without any environment
from state.host import process  # noqa: E402 - likewise

process.begin()
sys.exit(main(sys.argv[1:]))
