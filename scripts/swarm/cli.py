"""What all commands of the swarm share: who types them, where the swarm lives, and what they print."""

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
    """Who types this, for the records."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def on_file(what: str, names: Iterable[str], otherwise: str = FIRST_RUN) -> str:
    """A way out: the names that could be typed instead, or, where there is none, the command that makes the first."""
    listed = ", ".join(names)
    return f"{what}: {listed}" if listed else otherwise


def settle(roots: Roots) -> None:
    """Give the state root an id of its own, before anything of its swarm is started or ended; says when it is a copy.

    Raises:
        Refused: its swarm lives in another PID namespace. OSError: it cannot be written down.
    """
    _, forgotten = root.settle(roots.state)
    if forgotten:
        what = f"{roots.state} was copied from another root: it is a root of its own now"
        print(f"{what}, and {forgotten} records of the other's processes were removed from it", file=sys.stderr)


def say_from_where(roots: Roots) -> None:
    """Say it when the swarm lives where its processes cannot be seen from here."""
    if (why := root.from_outside(root.look(roots.state))) is not None:
        print(f"note: {why}", file=sys.stderr)


def say(answer: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(answer, indent=2, ensure_ascii=False))
