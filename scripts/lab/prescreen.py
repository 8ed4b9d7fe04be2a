"""`scripts/bench prescreen`: measure how fast a prescreen is, beside other engines."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from config.settings import load
from scripts.lab import flags, table
from state.host import command
from state.host.cores import usable_cores
from WORKFLOW.command_line import add_flags, reading_of

EPILOG = """\
examples:
  scripts/bench prescreen --data-path ~/data --symbol SOL
  scripts/bench prescreen --combos 10000,50000,250000,1000000 --days 180,365,730,850 --engine native
  scripts/bench prescreen --demo --combos 20000 --json
  scripts/bench prescreen --engine gpu,native --combos 10000,250000,1000000 --days 365,730     a GPU beside the CPU

scripts/bench without a name is scripts/bench prescreen.

Work is counted in bar-combos per second (bc/s): base bars x combos / seconds of the whole prescreen. That is: drawing
the combos, signals, execution with stops and fees, Sharpe ratio, return, daily drawdown, win rate, trade count,
ranking, and writing the top 500. The figures are medians of --repeat runs; the engines take turns, so that a noisy
machine is noisy for all. Slow engines get only a part of the combos, which their row states. "exact" means: the same
numbers as the reference engine on a sample.

vectorbt is called as its users call it (signals moved to the next bar, stops on closes), so its rows are never exact;
docs/reference/engine_differences.md says how to make it agree. Its trades are those of its own few combos.

exit codes: 0 done, 1 refused, or a row of this project is not exact, 2 usage
"""
ABOUT = "Measure how fast a prescreen is on this machine, beside the engines that people would use otherwise."
ENGINES = ("native", "gpu", "bar-loop", "reference", "vectorbt")


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return 1 when an engine that must be exact is not."""
    return command.run(parser, run, arguments)


def run(asked: argparse.Namespace) -> int:
    """Measure what the flags ask for."""
    if asked.gpu_model:
        from scripts.lab import gpu

        return gpu.run(asked)
    rows = _measured(asked)
    print(json.dumps([row.as_json() for row in rows], indent=2) if asked.json else table.text(rows))
    return 1 if any(row.exact is False and row.engine != "vectorbt" for row in rows) else 0


def _measured(asked: argparse.Namespace) -> list[Any]:
    # Imported late, because --help must answer before numba and pyarrow are loaded.
    from scripts.lab import bars, cold, measure, space

    settings = load()
    modes = [space.mode(name, settings) for name in asked.mode]
    plan = measure.Plan(settings.costs, settings.prescreen, asked.threads, asked.repeat, asked.seed)
    rows = []
    for days in asked.days:
        market = bars.asked_for(asked, days)
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
    """Return the engines for a mode: all of them in the frozen space, elsewhere only those of this project."""
    if "all" not in asked:
        return list(asked)
    from WORKFLOW.engines.gpu.presence import reason_against

    ours = ["native", *(["gpu"] if reason_against() is None else []), "bar-loop"]
    return [*ours, "vectorbt"] if mode == "benchmark" else ours


def parser() -> command.Parser:
    """Return the parser of the flags."""
    parser = flags.parser("prescreen", ABOUT, EPILOG)
    flags.add_bars(parser)
    add = parser.add_argument
    add("--days", type=_numbers, default=[730], metavar="N[,N]", help="the first N days (default 730)")
    add("--combos", type=_numbers, default=[250_000], metavar="N[,N]", help="parameter combos (default 250000)")
    add("--mode", type=_names, default=["benchmark", "benchmark-trailing"], metavar="NAME[,NAME]", help=MODES)
    add("--engine", type=_engine_names, default=["all"], metavar="NAME[,NAME]", help=f"all, or {', '.join(ENGINES)}")
    add("--threads", type=_number, default=usable_cores(), metavar="N", help="default: the cores this process may use")
    add("--repeat", type=_number, default=3, metavar="N", help="runs per engine; the median counts (default 3)")
    add_flags(parser, "--seed", type=command.whole(0, 2**32 - 1), default=7, help="seed of the combos (default 7)")
    add(
        "--cold", action=argparse.BooleanOptionalAction, default=True, help="also time the first batch of a new process"
    )
    add("--gpu-model", action="store_true", help=argparse.SUPPRESS)  # the former name of `scripts/bench gpu`
    add_flags(parser, "--json", help="a list of objects on standard output")
    return parser


MODES = "benchmark (the frozen space), benchmark-trailing (the same with trailing stops), or a mode of the settings"


_number = command.whole(1, 10_000_000)


def _numbers(text: str) -> list[int]:
    return [_number(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return text.split(",")


def _engine_names(text: str) -> list[str]:
    for name in (names := _names(text)):
        if name not in (*ENGINES, "all"):
            raise argparse.ArgumentTypeError(f"unknown engine {name!r}; known: all, {', '.join(ENGINES)}")
    return names
