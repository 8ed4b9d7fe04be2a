"""The monitors people attach to: `python -m scripts.swarm VIEW [--once]`, drawn with rich, read-only, and cheap.

On a terminal a monitor draws a page that fits it; elsewhere it prints lines. Most of the time nobody looks, and the
page is drawn twice a minute. When a client attaches or the size changes, it is drawn at once.
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

_LOOK_S = 2.0  # seconds between two pages while a client is attached
_UNSEEN_S = 30.0  # the same while no client is
_POLL_S = 1.0  # seconds between two looks for attached clients, which read one small file
_PLAIN_S = 5.0  # seconds between two lines without a terminal
_SETTLE_S = 0.5  # seconds between the two readings that a rate needs
_ASK_AGAIN_S = 10.0  # seconds: a client may switch from one session to another
_TMUX_S = 2.0  # seconds for tmux to answer
_SOCKETS = Path("/proc/net/unix")  # one row for each socket: the server's own and one for every client


def main(argv: list[str]) -> int:
    """Draw the page until Ctrl-C, or once."""
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
    """Print a line every few seconds until the swarm is stopped."""
    while True:
        print(visible(f"{time.strftime('%H:%M:%S')} {_safely(lambda: _line(view, roots))}"), flush=True)
        if roots.tombstone.exists():
            return 0
        time.sleep(_PLAIN_S)


def _line(view: View, roots: Roots) -> str:
    view.look(roots)
    return view.line()


def _live(view: View, roots: Roots) -> int:
    # While the signal is blocked, a change of size waits for sigtimedwait below, which then returns at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
    console, drawn, audience = Console(), "", Audience(_is_attached)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            size = console.size
            page = draw(view, roots, size.width, size.height)
            now = f"{size} {page.renderables}"
            if now != drawn:  # an unchanged page is not sent again
                live.update(page, refresh=True)
                drawn = now
            _until_next(audience)


def draw(view: View, roots: Roots, width: int, height: int) -> Group:
    """Draw one page. An error is shown on the page and does not end the monitor."""
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
    """Wait a short time while a client is attached, a long time while none is, and not at all when the size changes."""
    began = now_s = time.monotonic()
    was_there = audience.is_there(now_s)
    while now_s - began < (_LOOK_S if was_there else _UNSEEN_S):
        if signal.sigtimedwait({signal.SIGWINCH}, _POLL_S) is not None:
            return
        now_s = time.monotonic()
        if not was_there and audience.is_there(now_s):
            return


class Audience:
    """Whether a client is attached to this session.

    Every second the clients of the whole server are counted, which reads one small file. tmux is asked for their
    sessions only when there are clients.
    """

    def __init__(self, ask: Callable[[str], bool]) -> None:
        self._ask = ask
        self._clients, self._asked_at_s, self._said = 0, float("-inf"), False

    def is_there(self, now_s: float) -> bool:
        """Whether a client is attached; True when that is unknown."""
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
    """Ask tmux whether a client is attached to this pane's session; True when tmux does not answer."""
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
    """Run `python -m scripts.swarm`."""
    return ending.ended(lambda: main(sys.argv[1:]))
