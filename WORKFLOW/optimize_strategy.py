"""The pipeline for one symbol and mode, from a file of bars to validated artifacts.

Run by path: `python WORKFLOW/optimize_strategy.py --data-path D --symbol S --mode aggressive --prescreen N --paths N`.
Read `optimise` from top to bottom; each phase is a function of `WORKFLOW.pipeline.phases`.
"""

if __name__ == "__main__" and not __package__:
    try:
        import _checkout  # puts the checkout first on sys.path, in its virtual environment
    except ModuleNotFoundError:
        raise SystemExit(f"error: {__file__} needs its checkout: copy the whole checkout, then run it there") from None

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from config.errors import Refused
from config.settings import renamed
from state.files import private
from state.files.layout import Roots
from state.files.tighten import prepare
from state.host import command
from WORKFLOW import room
from WORKFLOW.command_line import Order, order_from, parser


def optimise(order: Order, screen: Any) -> dict[str, Any]:
    """Run or resume the whole pipeline; returns what `--json` prints."""
    from WORKFLOW.engines.choice import choose
    from WORKFLOW.pipeline import (  # numba, optuna and pyarrow: 2 s, after the first words on the screen
        phases,
        selection,
    )
    from WORKFLOW.pipeline.run import begin

    if order.engine == "gpu":
        choose(order.engine, order.gpu)  # refused before anything else is done
    roots = Roots.from_environment()
    bars, report = phases.preflight(order, roots, screen)
    prepare(roots)  # not before: what is refused leaves nothing behind
    with begin(order, roots, bars, report, screen) as run:
        phases.accept(run)
        prescreened = phases.prescreen(run)
        trials = phases.search(run, prescreened)
        trials, finalists = selection.chosen_of(run, trials, lambda: phases.search(run, prescreened))
        validated = phases.validate(run, prescreened, trials, finalists)
        return phases.publish(run, prescreened, trials, validated)


def main(argv: Sequence[str] | None = None, program: str = "optimize_strategy.py") -> int:
    """The command; see `--help` for flags and exit codes."""
    stopped = ("stopped", "the same command continues where it stopped")
    return command.run(lambda: parser(program), _run, argv, stopped, _unwritten)


def _unwritten(error: OSError) -> Refused:
    return Refused(
        f"cannot write {error.filename or 'to disk'}: {error.strerror}",
        "make room or name another RESULTS_ROOT; the same command continues where it stopped",
    )


def _run(asked: argparse.Namespace) -> int:
    private.close()
    room.check()
    order = order_from(asked)
    from rich.console import Console

    from WORKFLOW.report.console import Screen
    from WORKFLOW.report.tables import show

    with Screen() as screen:
        what = "generated demo bars (SYNTHETIC)" if order.data_path is None else str(order.data_path)
        screen.say(f"backtest-optimize · {order.symbol} {order.mode} · {what}")
        for line in renamed():
            screen.say(f"note: {line}")
        try:
            outcome = optimise(order, screen)
        except Refused:
            raise
        except Exception as error:
            if (full := room.ran_out(error)) is not None:
                raise full from error
            if not isinstance(error, OSError):
                screen.log(traceback.format_exc())
            raise
    if order.as_json:
        print(json.dumps(outcome, indent=2, allow_nan=False))
    else:
        show(outcome, Console(), order.by_regime)
    return 0


if __name__ == "__main__":
    sys.exit(main())
