"""How many cores this process may use."""

import os

from state.host.cgroup import Container


def usable_cores(container: Container | None = None) -> int:
    """Return the number of cores in this process's CPU affinity, bounded by its container's quota; at least 1.

    The host's number of cores is wrong in a container: with a quota of 2 CPUs on a large host there are 2 lanes.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = (Container() if container is None else container).cpus
    return max(1, affinity if quota is None else min(affinity, int(quota)))
