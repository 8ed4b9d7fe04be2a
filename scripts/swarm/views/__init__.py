"""What the monitors show: one module each."""

from collections.abc import Callable

from scripts.swarm.views.cpu import CpuView
from scripts.swarm.views.gpu import GpuView
from scripts.swarm.views.logs import Logs
from scripts.swarm.views.progress import ProgressView
from scripts.swarm.views.view import View

__all__ = ["VIEWS", "View"]

VIEWS: dict[str, Callable[[], View]] = {"progress": ProgressView, "cpu": CpuView, "gpu": GpuView, "logs": Logs}
