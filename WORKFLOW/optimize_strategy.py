"""The pipeline for one symbol and mode, from a file of bars to validated artifacts.

Run by path: `python WORKFLOW/optimize_strategy.py --data-path D --symbol S --mode aggressive --prescreen N --paths N`.
Read `optimise` from top to bottom; each phase is a function of `WORKFLOW.pipeline.phases`.
"""

if __name__ == "__main__" and not __package__:
    try:
        import _checkout  # puts the checkout first on sys.path, in its virtual environment
    except ModuleNotFoundError:
        raise SystemExit(f"error: {__file__} needs its checkout: copy the whole checkout, then run it there") from None

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from config.errors import Misused, Refused
from state.files import private
from state.files.layout import Roots
from state.files.tighten import prepare
from WORKFLOW import room
from WORKFLOW.command_line import Order, order_from, parser

_INTERRUPTED = 130  # what shells report for Ctrl-C
_USAGE = 2  # as argparse says it


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
    try:
        asked = parser(program).parse_args(argv)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    private.close()
    try:
        room.check()
        return _run(order_from(asked))
    except Refused as refusal:
        code = _USAGE if isinstance(refusal, Misused) else 1
        return _failed(refusal.reason, refusal.way_out, as_json=asked.json, code=code)
    except KeyboardInterrupt:
        return _failed("stopped", "the same command continues where it stopped", as_json=asked.json, code=_INTERRUPTED)
    except BrokenPipeError:  # whoever read us has seen enough; the results are in their place
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        reason = f"cannot write {error.filename or 'to disk'}: {error.strerror}"
        return _failed(
            reason, "make room or name another RESULTS_ROOT; the same command continues where it stopped", asked.json
        )


def _run(order: Order) -> int:
    from rich.console import Console

    from WORKFLOW.report.console import Screen
    from WORKFLOW.report.tables import show

    with Screen() as screen:
        what = "generated demo bars (SYNTHETIC)" if order.data_path is None else str(order.data_path)
        screen.say(f"backtest-optimize · {order.symbol} {order.mode} · {what}")
        try:
            outcome = optimise(order, screen)
        except (Refused, KeyboardInterrupt):
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


def _failed(reason: str, way_out: str, as_json: bool, code: int = 1) -> int:
    if as_json:
        print(json.dumps({"error": reason, "way_out": way_out}, indent=2))
    print(f"{'' if code == _INTERRUPTED else 'error: '}{Refused(reason, way_out)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
