"""How many cores this process may really use."""

import os

from state.host.cgroup import Container


def usable_cores(container: Container | None = None) -> int:
    """The CPU affinity of this process, cut to its container's quota; at least 1.

    Host-wide numbers are wrong in containers: a 2-CPU quota on a big host gets 2 lanes.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = (Container() if container is None else container).cpus
    return max(1, affinity if quota is None else min(affinity, int(quota)))
