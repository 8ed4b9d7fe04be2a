"""A monitor: `python -m scripts.swarm progress|cpu|gpu|logs [--once]`; what panes of bt-worker-… sessions run."""

import sys

from scripts.swarm.monitor import run
from state.files import private
from state.host import process

process.begin()
private.close()
sys.exit(run())
