"""What all commands of the swarm share: how they explain themselves, and how they say what went wrong."""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from config.errors import visible
from state.files.layout import Roots
from state.host import root

USAGE = 2
FIRST_RUN = "scripts/backtest-optimize --parallel starts the first one"


class Parser(argparse.ArgumentParser):
    """Errors begin with `error:`, as everywhere else, and end with exit code 2; flags are typed in full."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say it and leave."""
        print(f"error: {visible(message)}\n  → {self.prog} --help", file=sys.stderr)
        raise SystemExit(USAGE)


def parser(program: str, does: str, example: str, codes: str, json_help: str) -> Parser:
    """A command's flags: every one has `--json`, an example and its exit codes."""
    made = Parser(
        prog=program,
        description=does,
        epilog=f"example:\n  {example}\n\nexit codes: {codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", action="store_true", help=json_help)
    return made


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


def say(answer: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(answer, indent=2, ensure_ascii=False))
