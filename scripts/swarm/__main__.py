"""A monitor: `python -m scripts.swarm progress|cpu`; what the panes of bt-worker-progress and bt-worker-cpu-mon run."""

import sys

from scripts.swarm.monitor import main

try:
    sys.exit(main(sys.argv[1:]))
except KeyboardInterrupt:
    sys.exit(130)
