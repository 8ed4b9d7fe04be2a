"""Look after one swarm: systemd, cron or a keeper process runs `python -S -E scripts/keeper STATE_ROOT [--once]`.

It uses the standard library alone, so it starts in milliseconds and can say that the virtual environment is missing.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from scripts.keeper.watch import main  # noqa: E402 - found only now: this is run by path, without any environment
from state.host import process  # noqa: E402 - likewise

process.begin()
sys.exit(main(sys.argv[1:]))
