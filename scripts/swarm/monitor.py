"""The monitors people attach to, drawn with rich, read-only."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scripts.swarm.show import page
from scripts.swarm.status import build
from state.layout import Roots

_EVERY_S = 2.0
_BUSIEST = 12


def main(argv: list[str]) -> int:
    """Draw for ever; a bad moment is shown, not died of."""
    draw = _VIEWS[argv[0]]
    roots = Roots.from_environment()
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            try:
                live.update(draw(roots), refresh=True)
            except Exception as error:
                live.update(Text(f"nothing to show right now: {error}"), refresh=True)
            time.sleep(_EVERY_S)


def progress(roots: Roots) -> Group:
    """What every worker does."""
    return Group(page(build(roots)), Text("\nCtrl-B d leaves this running", style="dim"))


def cpu(roots: Roots) -> Group:
    """Every core, and who uses it."""
    import psutil

    cores = Table.grid(padding=(0, 1))
    for number, busy in enumerate(psutil.cpu_percent(percpu=True)):
        cores.add_row(f"core {number}", ProgressBar(total=100, completed=busy, width=40), f"{busy:.0f} %")
    workers = {worker["pid"]: worker["job"] for worker in build(roots)["workers"] if worker["pid"]}
    busiest = Table.grid(padding=(0, 2))
    for row in _busiest(workers):
        busiest.add_row(*row)
    return Group(Text("cores", style="bold"), cores, Text("\nworkers", style="bold"), busiest)


def _busiest(workers: dict[int, str]) -> list[tuple[str, ...]]:
    import psutil

    rows: list[tuple[float, tuple[str, ...]]] = []
    for pid, job in workers.items():
        try:
            process = _KNOWN.setdefault(pid, psutil.Process(pid))
            busy, memory = process.cpu_percent(), process.memory_info().rss / 1e6
        except psutil.Error:
            continue
        rows.append((busy, (f"{busy:5.0f} %", f"{memory:6.0f} MB", f"pid {pid}", job)))
    return [row for _, row in sorted(rows, reverse=True)[:_BUSIEST]] or [("nobody works",)]


_KNOWN: dict[int, Any] = {}  # cpu_percent counts from the last look at the same object
_VIEWS: dict[str, Callable[[Roots], Group]] = {"progress": progress, "cpu": cpu}
