"""How every command reads its arguments: flags, errors of usage, and `--help`. `ending` says how a command ends.

This module uses only the standard library and no syntax newer than Python 3.8, because `session_state_manager.py
--query` imports it.
"""

import argparse
import sys

from config.errors import Misused, visible
from state.host import ending

# type checkers take it as true; importing `typing` would cost `--query` as much time as all the rest
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from config.errors import Refused


class Parser(argparse.ArgumentParser):
    """A parser that prints errors as `error: …` with the way to the help, exits with 2, and keeps texts' layout.

    Flags must be typed in full. A command that is older than this class still accepts the beginning of a flag, and
    prints its usage before an error.
    """

    def __init__(self, is_older: bool = False, **options: "Any") -> None:
        usual = {"allow_abbrev": is_older, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**{**usual, **options})
        self.is_older = is_older

    def begin_error(self) -> None:
        """Print what stands before an error of usage: the usage, for older commands."""
        if self.is_older:
            self.print_usage(sys.stderr)

    def error(self, message: str) -> "NoReturn":
        """Print the error, and exit with the code of wrong usage."""
        self.begin_error()
        print(f"error: {visible(message)}\n  → {self.prog} --help", file=sys.stderr)
        raise SystemExit(ending.USAGE)


def parser(program: str, does: str, example: str, codes: str, json_help: str) -> Parser:
    """Return a command's parser with `--json`, an example and the exit codes; the command adds its own flags."""
    made = Parser(prog=program, description=does, epilog=f"example:\n  {example}\n\nexit codes: {codes}")
    made.add_argument("--json", action="store_true", help=json_help)
    return made


def whole(least: int, most: int) -> "Callable[[str], int]":
    """Return an argparse type that accepts the whole numbers from `least` to `most`."""

    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least:,} to {most:,}")
        return int(text)

    return number


def run(
    parser: "Callable[[], Parser]",
    deed: "Callable[[argparse.Namespace], int]",
    words: "Sequence[str] | None",
    stopped: "tuple[str, str]" = ending.STOPPED,
    mishap: "Callable[[OSError], Refused]" = ending.mishap,
) -> int:
    """Run a whole command: parse its arguments (None: those of the process), do `deed`, and end as `ending.ended`."""

    def typed() -> int:
        flags = parser()
        asked = flags.parse_args(words)
        return ending.ended(lambda: _used(flags, deed, asked), getattr(asked, "json", False), stopped, mishap)

    return ending.ended(typed)


def _used(flags: Parser, deed: "Callable[[argparse.Namespace], int]", asked: argparse.Namespace) -> int:
    try:
        return deed(asked)
    except Misused:
        flags.begin_error()
        raise
