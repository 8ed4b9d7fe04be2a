"""The flags that several benches share."""

import argparse
import os

from state.host import command
from WORKFLOW.command_line import DATA_VARIABLE, READING, add_flags


def parser(bench: str, about: str, epilog: str) -> command.Parser:
    """Return the parser of `scripts/bench BENCH`."""
    return command.Parser(prog=f"scripts/bench {bench}", description=about, epilog=epilog, is_older=True)


def add_bars(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose the bars; `bars.asked_for` reads them."""
    add_flags(parser, "--symbol", default="SOL", help="bars of this symbol (default SOL)")
    where = f"folder or file (default ${DATA_VARIABLE}, else --demo)"
    add_flags(parser, "--data-path", default=os.environ.get(DATA_VARIABLE), help=where)
    add_flags(parser, *READING, "--demo", "--repair", "--allow-wicks")
