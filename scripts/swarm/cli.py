"""What all commands of the swarm share: the user who types them, the place of the swarm, and JSON output."""

import getpass
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from state.files.layout import Roots
from state.host import root

FIRST_RUN = "scripts/backtest-optimize --parallel starts the first one"


def user() -> str:
    """Return the name of the user who types the command, for the records."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def on_file(what: str, names: Iterable[str], otherwise: str = FIRST_RUN) -> str:
    """Return a way out: the names that could be typed instead, or, if there are none, the command that makes one."""
    listed = ", ".join(names)
    return f"{what}: {listed}" if listed else otherwise


def settle(roots: Roots) -> None:
    """Give the state root its own id before any process is started or ended; say so when the root is a copy.

    Raises:
        Refused: its swarm lives in another PID namespace. OSError: it cannot be written down.
    """
    _, forgotten = root.settle(roots.state)
    if forgotten:
        what = f"{roots.state} was copied from another root: it is a root of its own now"
        print(f"{what}, and {forgotten} records of the other's processes were removed from it", file=sys.stderr)


def say_from_where(roots: Roots) -> None:
    """Say so when the swarm runs in another PID namespace, where its processes cannot be seen from here."""
    if (why := root.from_outside(root.look(roots.state))) is not None:
        print(f"note: {why}", file=sys.stderr)


def say(answer: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(answer, indent=2, ensure_ascii=False))
