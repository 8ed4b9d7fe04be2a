"""Load the bars that a command's flags name, with the checks that a run makes, or the generated demo bars."""

import argparse
from collections.abc import Iterator, Sequence

from config.errors import Refused
from config.settings import Settings
from state.files.layout import Roots
from WORKFLOW.command_line import DATA_VARIABLE, DEMO_SYMBOL, data_path_of, reading_of
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.generate import write_demo
from WORKFLOW.validation import check_all


def named(asked: argparse.Namespace, symbols: Sequence[str], settings: Settings) -> Iterator[Bars]:
    """Return the bars of each symbol.

    Raises:
        Refused: no bars are named, flags contradict each other, or the bars fail the checks.
    """
    if asked.demo and (asked.data_path or symbols):
        raise Refused("--demo generates its own bars", "leave out --data-path and --symbol, or --demo")
    path = write_demo(Roots.from_environment().demo_data()) if asked.demo else data_path_of(asked)
    if path is None or not (asked.demo or symbols):
        raise Refused(
            "no bars to work on", f"name them with --symbol and --data-path (or {DATA_VARIABLE}), or type --demo"
        )
    for symbol in symbols or [DEMO_SYMBOL]:
        outcome = check_all(settings, path.expanduser(), symbol, asked.repair, asked.allow_wicks, reading_of(asked))
        if outcome.bars is None or outcome.reasons:
            ways = dict.fromkeys(reason.way_out for reason in outcome.reasons if reason.way_out)
            raise Refused("; ".join(reason.text for reason in outcome.reasons), "; ".join(ways))
        yield outcome.bars
