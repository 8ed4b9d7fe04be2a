"""The bars of a benchmark: real bars if there are any, else the generated demo bars, labelled so."""

import argparse
from pathlib import Path

from config.errors import Refused
from config.reading import AS_IT_IS, Reading
from config.settings import load
from state.files.layout import Roots
from WORKFLOW.command_line import reading_of
from WORKFLOW.data.bars import BARS_PER_DAY, Bars
from WORKFLOW.data.generate import write_demo
from WORKFLOW.data.report import UnfitBars
from WORKFLOW.validation import check_all


def asked_for(asked: argparse.Namespace, days: int) -> Bars:
    """Return the first `days` of the bars that a bench's flags name."""
    words = asked.data_path, asked.symbol, days, asked.demo, asked.repair, asked.allow_wicks
    return first_days(*words, reading_of(asked))


def first_days(
    data_path: Path | None,
    symbol: str,
    days: int,
    demo: bool,
    repair: bool = False,
    allow_wicks: bool = False,
    reading: Reading = AS_IT_IS,
) -> Bars:
    """Return the first `days` of the bars, after all checks.

    Raises:
        Refused: pre-flight refuses the bars, or there are fewer days than asked for.
    """
    if demo or data_path is None:
        data_path, symbol = write_demo(Roots.from_environment().demo_data()), "SYNTHETIC"
    outcome = check_all(load(), data_path, symbol, repair, allow_wicks, reading)
    if outcome.bars is None:
        if outcome.report is not None and outcome.report.reasons:
            raise UnfitBars(outcome.report)
        raise Refused("; ".join(reason.text for reason in outcome.reasons), "name a folder with --data-path, or --demo")
    bars = outcome.bars
    if len(bars) < days * BARS_PER_DAY:
        raise Refused(f"{symbol} has {bars.days:.1f} days, not {days}", f"--days {int(bars.days)}")
    return bars.before(days * BARS_PER_DAY)
