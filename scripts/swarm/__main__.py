"""A monitor: `python -m scripts.swarm progress|cpu|gpu|logs [--once]`; the panes of the bt-worker-… sessions run it."""

import sys

from scripts.swarm.monitor import run
from state.files import private
from state.host import process

process.begin()
private.close()
sys.exit(run())
