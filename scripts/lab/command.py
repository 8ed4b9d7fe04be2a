"""The command line of scripts/bench: what to measure, on which bars, how often."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from config.errors import Refused
from config.settings import load
from scripts.lab import table
from state.host.cores import usable_cores
from WORKFLOW.command_line import add_reading, reading_of

EPILOG = """\
examples:
  scripts/bench --data-path ~/data --symbol SOL
  scripts/bench --combos 10000,50000,250000,1000000 --days 180,365,730,850 --engine native
  scripts/bench --demo --combos 20000 --json
  scripts/bench --engine gpu,native --combos 10000,250000,1000000 --days 365,730     one NVIDIA GPU beside the CPU
  scripts/bench --gpu-model                            without one: floors and a prediction from the compiled kernels
  scripts/bench --control-plane                        what agents and sessions cost; see its own --help
  scripts/bench --search                               trials a second with 1, 2 and 4 processes on one study
  scripts/bench --validity --help                      how often the promotion gate takes luck for skill
  scripts/bench --faults --help                     the other bench: break a swarm, and time how it heals

Work is counted in bar-combos per second (bc/s): base bars x combos / seconds of the whole prescreen: drawing the
combos, signals, execution with stops and fees, Sharpe ratio, return, daily drawdown, win rate, trade count, ranking,
writing the top 500. Medians of --repeat runs; the engines take turns, so that a noisy machine is noisy for all. Slow
engines get a part of the combos, stated in their row. exact: the same numbers as the reference engine on a sample.

vectorbt is called as its users call it (signals moved to the next bar, stops on closes), so its rows are never exact;
how to make it agree: docs/reference/engine_differences.md. Its column of trades is that of its own few combos.

exit codes: 0 done, 1 refused or a row of this project that is not exact, 2 usage
"""
ABOUT = "How fast a prescreen is on this machine, beside the engines people would use otherwise."
# Each with a command line of its own.
_BENCHES = {
    "--control-plane": "scripts.lab.control_plane",
    "--search": "scripts.lab.search",
    "--validity": "scripts.lab.validity.command",
    "--faults": "scripts.lab.faults.command",
}
ENGINES = ("native", "gpu", "bar-loop", "reference", "vectorbt")


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 when an engine that must be exact is not."""
    for flag, module in _BENCHES.items():
        if flag in arguments:
            return int(import_module(module).main([word for word in arguments if word != flag]))
    asked = _parser().parse_args(arguments)
    try:
        if asked.gpu_model:
            print(_model(asked))
            return 0
        rows = _measured(asked)
    except Refused as refusal:
        print(f"refused: {refusal.reason}\n  → {refusal.way_out}", file=sys.stderr)
        return 1
    print(json.dumps([row.as_json() for row in rows], indent=2) if asked.json else table.text(rows), end="\n")
    return 1 if any(row.exact is False and row.engine != "vectorbt" for row in rows) else 0


def _measured(asked: argparse.Namespace) -> list[Any]:
    from scripts.lab import bars, cold, measure, space  # numba and pyarrow: not before --help

    settings = load()
    modes = [space.mode(name, settings) for name in asked.mode]
    plan = measure.Plan(settings.costs, settings.prescreen, asked.threads, asked.repeat, asked.seed)
    rows = []
    for days in asked.days:
        said = asked.repair, asked.allow_wicks, reading_of(asked)
        market = bars.first_days(asked.data_path, asked.symbol, days, asked.demo, *said)
        for combos in asked.combos:
            for mode in modes:
                rows += measure.side_by_side(plan, market, mode, combos, _engines(asked.engine, mode.name))
    for engine in ("native", "gpu") if asked.cold else ():
        if engine == "native" or any(row.engine == "gpu" for row in rows):
            rows += cold.starts(
                asked.data_path, asked.symbol, asked.days[0], asked.demo, plan, engine, reading_of(asked)
            )
    return rows


def _engines(asked: Sequence[str], mode: str) -> list[str]:
    """The customer's question is asked in the frozen space: all engines there, elsewhere only this project's."""
    if "all" not in asked:
        return list(asked)
    from WORKFLOW.engines.gpu.presence import reason_against

    ours = ["native", *(["gpu"] if reason_against() is None else []), "bar-loop"]
    return [*ours, "vectorbt"] if mode == "benchmark" else ours


def _model(asked: argparse.Namespace) -> str:
    from scripts.lab import bars, gpu_model, space
    from scripts.lab.gpu_compiled import compiled

    settings = load()
    kernels = {kernel.name: kernel for kernel in compiled((9, 0))}
    said = asked.repair, asked.allow_wicks, reading_of(asked)
    market = bars.first_days(asked.data_path, asked.symbol, asked.days[0], asked.demo, *said)
    mode = space.mode("benchmark", settings)
    work = gpu_model.work_of(market, mode, settings.costs, asked.combos[0], asked.seed)
    return gpu_model.text(kernels, work, asked.combos[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=ABOUT, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = os.environ.get("BACKTEST_OPTIMIZE_DATA")
    add = parser.add_argument
    add("--symbol", default="SOL", help="bars of this symbol (default SOL)")
    add("--data-path", type=Path, default=data, help="folder or file (default $BACKTEST_OPTIMIZE_DATA, else --demo)")
    add_reading(parser)
    add("--demo", action="store_true", help="the generated demo bars: synthetic")
    add("--repair", action="store_true", help="drop rows that repeat an earlier one in every value")
    add("--allow-wicks", action="store_true", help="take highs and lows that no neighbouring bar reaches")
    add("--days", type=_numbers, default=[730], metavar="N[,N]", help="the first N days (default 730)")
    add("--combos", type=_numbers, default=[250_000], metavar="N[,N]", help="parameter combos (default 250000)")
    add("--mode", type=_names, default=["benchmark", "benchmark-trailing"], metavar="NAME[,NAME]", help=MODES)
    add("--engine", type=_engine_names, default=["all"], metavar="NAME[,NAME]", help=f"all, or {', '.join(ENGINES)}")
    add("--threads", type=_number, default=usable_cores(), metavar="N", help="default: the cores this process may use")
    add("--repeat", type=_number, default=3, metavar="N", help="runs per engine; the median counts (default 3)")
    add("--seed", type=_seed, default=7, help="of the combos (default 7)")
    add("--cold", action=argparse.BooleanOptionalAction, default=True, help="also the first batch of a new process")
    add("--gpu-model", action="store_true", help="no run: what the compiled kernels should take on an H200, a model")
    add("--json", action="store_true", help="a list of objects on standard output")
    return parser


MODES = "benchmark (the frozen space), benchmark-trailing (the same with trailing stops), or a mode of the settings"


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 10,000,000")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1:,}")
    return int(text)


def _numbers(text: str) -> list[int]:
    return [_number(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return text.split(",")


def _engine_names(text: str) -> list[str]:
    for name in (names := _names(text)):
        if name not in (*ENGINES, "all"):
            raise argparse.ArgumentTypeError(f"unknown engine {name!r}; known: all, {', '.join(ENGINES)}")
    return names
