"""What all commands of the swarm share: how they explain themselves, and how they say what went wrong."""

import argparse
import json
import sys
from typing import Any, NoReturn

USAGE = 2


class Parser(argparse.ArgumentParser):
    """Errors begin with `error:`, as everywhere else, and end with exit code 2; flags are typed in full."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say it and leave."""
        print(f"error: {message}\n  → {self.prog} --help", file=sys.stderr)
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


def say(answer: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(answer, indent=2, ensure_ascii=False))
