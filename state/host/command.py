"""How every command is asked: its flags, what is wrong with them, and its `--help`; how it ends is `ending`'s.

The standard library alone, and no newer syntax than Python 3.8's: `session_state_manager.py --query` imports this.
"""

import argparse
import sys

from config.errors import Misused, visible
from state.host import ending

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost `--query` as much as all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from config.errors import Refused


class Parser(argparse.ArgumentParser):
    """Errors are `error:` and the way to the help, with exit code 2; texts are laid out as they are written.

    Flags are typed in full. A command that is older than this class still takes the beginning of a flag, and shows its
    usage before an error.
    """

    def __init__(self, is_older: bool = False, **options: "Any") -> None:
        usual = {"allow_abbrev": is_older, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**{**usual, **options})
        self.is_older = is_older

    def begin_error(self) -> None:
        """What stands before any error of usage, whoever finds it."""
        if self.is_older:
            self.print_usage(sys.stderr)

    def error(self, message: str) -> "NoReturn":
        """Say it and leave."""
        self.begin_error()
        print(f"error: {visible(message)}\n  → {self.prog} --help", file=sys.stderr)
        raise SystemExit(ending.USAGE)


def parser(program: str, does: str, example: str, codes: str, json_help: str) -> Parser:
    """A command's flags, to be added to: each has `--json`, an example and its exit codes."""
    made = Parser(prog=program, description=does, epilog=f"example:\n  {example}\n\nexit codes: {codes}")
    made.add_argument("--json", action="store_true", help=json_help)
    return made


def whole(least: int, most: int) -> "Callable[[str], int]":
    """A type of argparse's: a whole number between two."""

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
    """A whole command: read its words (None: those that were typed), do what they ask, and end as `ending.ended`."""

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
