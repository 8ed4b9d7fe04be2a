"""Follow a run until it is complete: with a live page on a terminal, with a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from enum import Enum

from rich.console import Console
from rich.live import Live

from agents.machine.observe import limits_of
from agents.rules.blame import backoff_s
from config.errors import Refused
from scripts.swarm import cli, sessions
from scripts.swarm.show import line, page
from scripts.swarm.status import build
from scripts.swarm.status_rows import StatusRow
from state.files.layout import Roots
from state.records.orders import SwarmOrder

_LOOK_S = 0.5  # seconds between two looks at the swarm
_PLAIN_EVERY_S = 10.0  # seconds between two lines without a terminal while nothing changes


class Ended(Enum):
    """Why following ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    LEFT = "left"


def follow(roots: Roots, order: SwarmOrder) -> Ended:
    """Show the run until it is complete or stopped, or until Ctrl-C."""
    console = Console(stderr=True)
    try:
        if not console.is_terminal:
            return _plainly(roots, order)
        with Live(console=console, auto_refresh=False) as live:
            healer = Healer(roots, lambda text: live.console.print(text, highlight=False, markup=False))
            while True:
                ended = _ended(roots, order)
                if ended is not Ended.STOPPED:
                    now = build(roots)
                    live.update(page(now, console.width, console.height - 1), refresh=True)
                    healer.look(now)
                if ended is not None:
                    return ended
                time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        return Ended.LEFT


class Healer:
    """Start all agents again when none of them lives, as `ensure` does, and say so; do nothing after a `stop`.

    It acts at once the first time, then after waits that double until the agents are back.
    """

    def __init__(self, roots: Roots, say: Callable[[str], None]) -> None:
        self._roots, self._say = roots, say
        self._times, self._next_s = 0, 0.0

    def look(self, now: StatusRow) -> None:
        """Start the agents when none is alive; `now` is the object of `status --json`."""
        if not any(one["id"] == "no_agents" for one in now["incidents"]):
            self._times = 0 if time.monotonic() > self._next_s else self._times
            return
        if time.monotonic() < self._next_s:
            return
        self._times += 1
        self._next_s = time.monotonic() + backoff_s(self._times, limits_of(self._roots))
        self._say(f"{_clock()} no agent is alive: {self._heal()}")

    def _heal(self) -> str:
        try:
            done = sessions.heal(self._roots, f"--parallel in the foreground, typed by {cli.user()}")
        except (Refused, OSError) as error:
            return f"they cannot be brought back: {error}"
        if done is None:
            return "another start is already bringing them back"
        return f"{len(done.started)} sessions were started again; workers kept running, or continue where they stopped"


def _clock() -> str:
    return f"  {time.strftime('%H:%M:%S')}"


def _plainly(roots: Roots, order: SwarmOrder) -> Ended:
    """Print a line when a phase changes or something goes wrong, else every few seconds; for use without a terminal."""
    said_at, said = float("-inf"), ""
    healer = Healer(roots, lambda text: print(text, file=sys.stderr, flush=True))
    while True:
        ended = _ended(roots, order)
        now = build(roots)
        what = f"{[u['phase'] for u in now['units']]} {[one['id'] for one in now['incidents']]} {now['healed']}"
        if what != said or time.monotonic() - said_at >= _PLAIN_EVERY_S:
            print(f"{_clock()} {line(now)}", file=sys.stderr, flush=True)
            said_at, said = time.monotonic(), what
        if ended is None:
            healer.look(now)
        if ended is not None:
            return ended
        time.sleep(_LOOK_S)


def _ended(roots: Roots, order: SwarmOrder) -> Ended | None:
    if roots.swarm_run(order.run_id).finished.exists():
        return Ended.COMPLETE
    return Ended.STOPPED if roots.tombstone.exists() else None
