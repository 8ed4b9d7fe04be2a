"""The monitors people attach to: `python -m scripts.swarm VIEW [--once]`, drawn with rich, read-only, and cheap.

On a terminal a page that fits it; without one plain lines. Nobody looks most of the time: then it is drawn twice a
minute, and an attached client or another size has it drawn at once.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live

from config.errors import visible
from scripts.swarm.fit import Block, fitted, wrapped
from scripts.swarm.views import VIEWS, View
from state.files.layout import Roots
from state.host import command, ending

_LOOK_S = 2.0  # between two pages while somebody looks
_UNSEEN_S = 30.0  # while nobody does
_POLL_S = 1.0  # between two looks at who is attached: one small file
_PLAIN_S = 5.0  # between two lines without a terminal
_SETTLE_S = 0.5  # between the two readings that a rate takes
_ASK_AGAIN_S = 10.0  # a client may switch from one session to another
_TMUX_S = 2.0  # for tmux to answer
_SOCKETS = Path("/proc/net/unix")  # one row a socket: the server's own, and one for every client


def main(argv: list[str]) -> int:
    """Draw until Ctrl-C, or once."""
    flags = command.Parser(prog="python -m scripts.swarm", description=__doc__)
    flags.add_argument("view", choices=list(VIEWS))
    flags.add_argument("--once", action="store_true", help="print the page once, whole, and leave")
    asked = flags.parse_args(argv)
    view, roots = VIEWS[asked.view](), Roots.from_environment()
    if asked.once:
        return _once(view, roots)
    return _live(view, roots) if Console().is_terminal else _lines(view, roots)


def _once(view: View, roots: Roots) -> int:
    view.look(roots)
    time.sleep(_SETTLE_S)
    view.look(roots)
    Console(soft_wrap=True).print(view.page(None, None))
    return 0


def _lines(view: View, roots: Roots) -> int:
    """A line every few seconds, for as long as the swarm is not stopped."""
    while True:
        print(visible(f"{time.strftime('%H:%M:%S')} {_safely(lambda: _line(view, roots))}"), flush=True)
        if roots.tombstone.exists():
            return 0
        time.sleep(_PLAIN_S)


def _line(view: View, roots: Roots) -> str:
    view.look(roots)
    return view.line()


def _live(view: View, roots: Roots) -> int:
    # Blocked, a change of size waits for sigtimedwait below, which then returns at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
    console, drawn, audience = Console(), "", Audience(_is_attached)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            size = console.size
            page = draw(view, roots, size.width, size.height)
            now = f"{size} {page.renderables}"
            if now != drawn:  # a page that says the same is not sent again
                live.update(page, refresh=True)
                drawn = now
            _until_next(audience)


def draw(view: View, roots: Roots, width: int, height: int) -> Group:
    """One page; a bad moment is shown, not died of."""
    try:
        view.look(roots)
        return view.page(width, height)
    except Exception as error:
        way_out = "scripts/backtest-optimize doctor looks for the cause; this page goes on trying"
        said = f"nothing to show right now: {type(error).__name__}: {error}".replace("\n", " ")
        lines = (*wrapped(said, "red", "", width, 3), *wrapped(way_out, "dim", "", width))
        return fitted([Block(lines)], width, height)


def _safely(say: Callable[[], str]) -> str:
    try:
        return say()
    except Exception as error:
        return f"nothing to show right now: {error}".replace("\n", " ")


def _until_next(audience: "Audience") -> None:
    """Wait: shortly while somebody looks, long while nobody does, not at all when the size changes."""
    began = now_s = time.monotonic()
    was_there = audience.is_there(now_s)
    while now_s - began < (_LOOK_S if was_there else _UNSEEN_S):
        if signal.sigtimedwait({signal.SIGWINCH}, _POLL_S) is not None:
            return
        now_s = time.monotonic()
        if not was_there and audience.is_there(now_s):
            return


class Audience:
    """Whether somebody looks at this session. Clients of the whole server are counted every second, which costs one
    small file; tmux is asked whose they are only when there are any.
    """

    def __init__(self, ask: Callable[[str], bool]) -> None:
        self._ask = ask
        self._clients, self._asked_at_s, self._said = 0, float("-inf"), False

    def is_there(self, now_s: float) -> bool:
        """True where it cannot be known."""
        socket = os.environ.get("TMUX", "").partition(",")[0]
        clients = _clients(socket) if socket else None
        if clients is None:
            return True
        if clients and (clients != self._clients or now_s - self._asked_at_s >= _ASK_AGAIN_S):
            self._said, self._asked_at_s = self._ask(socket), now_s
        self._clients = clients
        return clients > 0 and self._said


def _clients(socket: str) -> int | None:
    try:
        rows = _SOCKETS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return rows.count(f" {socket}\n") - 1


def _is_attached(socket: str) -> bool:
    """Whether a client looks at the session of this pane, as tmux says; true when it says nothing."""
    pane = os.environ.get("TMUX_PANE", "")
    words = ["tmux", "-S", socket, "display-message", "-p", "-t", pane, "#{session_attached}"]
    try:
        done = subprocess.run(
            words, capture_output=True, encoding="utf-8", errors="replace", timeout=_TMUX_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    return done.stdout.strip() != "0"


def run() -> int:
    """`python -m scripts.swarm`."""
    return ending.ended(lambda: main(sys.argv[1:]))
