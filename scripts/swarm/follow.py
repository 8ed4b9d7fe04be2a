"""Follow a run until it is complete: a live page on a terminal, a line now and then elsewhere."""

import sys
import time
from enum import Enum

from rich.console import Console
from rich.live import Live

from scripts.swarm.show import line, page
from scripts.swarm.status import build
from state.layout import Roots
from state.orders import SwarmOrder

_LOOK_S = 0.5
_PLAIN_EVERY_S = 10.0


class Ended(Enum):
    """Why following ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    LEFT = "left"


def follow(roots: Roots, order: SwarmOrder) -> Ended:
    """Until the run is complete or stopped, or Ctrl-C."""
    console = Console(stderr=True)
    try:
        if not console.is_terminal:
            return _plainly(roots, order)
        with Live(console=console, auto_refresh=False) as live:
            while True:
                ended = _ended(roots, order)
                if ended is not Ended.STOPPED:
                    live.update(page(build(roots), console.width, console.height - 1), refresh=True)
                if ended is not None:
                    return ended
                time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        return Ended.LEFT


def _plainly(roots: Roots, order: SwarmOrder) -> Ended:
    """Without a terminal: a line when a phase changes or something goes wrong, else every few seconds."""
    said_at, said = float("-inf"), ""
    while True:
        ended = _ended(roots, order)
        now = build(roots)
        what = f"{[u['phase'] for u in now['units']]} {[one['id'] for one in now['incidents']]} {now['healed']}"
        if what != said or time.monotonic() - said_at >= _PLAIN_EVERY_S:
            print(f"  {time.strftime('%H:%M:%S')} {line(now)}", file=sys.stderr, flush=True)
            said_at, said = time.monotonic(), what
        if ended is not None:
            return ended
        time.sleep(_LOOK_S)


def _ended(roots: Roots, order: SwarmOrder) -> Ended | None:
    if roots.swarm_run(order.run_id).finished.exists():
        return Ended.COMPLETE
    return Ended.STOPPED if roots.tombstone.exists() else None
