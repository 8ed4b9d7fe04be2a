"""The views of the monitors, one module for each."""

from collections.abc import Callable

from scripts.swarm.views.cpu import Cpu
from scripts.swarm.views.gpu import Gpu
from scripts.swarm.views.logs import Logs
from scripts.swarm.views.progress import Progress
from scripts.swarm.views.view import View

__all__ = ["VIEWS", "View"]

VIEWS: dict[str, Callable[[], View]] = {"progress": Progress, "cpu": Cpu, "gpu": Gpu, "logs": Logs}
