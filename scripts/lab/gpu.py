"""`scripts/bench gpu`: lower bounds and a prediction for a GPU that this machine lacks, from the compiled kernels."""

import argparse
from collections.abc import Sequence

from config.settings import load
from scripts.lab import flags
from state.host import command
from WORKFLOW.command_line import add_flags

EPILOG = """\
examples:
  scripts/bench gpu
  scripts/bench gpu --data-path ~/data --symbol SOL --days 365 --combos 1000000

The bench compiles the kernels for compute capability 9.0 and counts every instruction of their loops; it counts on the
bars how often the loops run. The result is a MODEL of an H200; docs/reference/benchmarks.md says what it leaves out.

exit codes: 0 done, 1 refused, 2 usage
"""
ABOUT = "Predict how long the GPU engine takes on a device that this machine lacks, by a model of its compiled kernels."


def main(arguments: Sequence[str]) -> int:
    """Compile, count and print."""
    return command.run(_parser, run, arguments)


def run(asked: argparse.Namespace) -> int:
    """Print the model for the first of the days and combos that are asked for."""
    from scripts.lab import bars, gpu_model, space
    from scripts.lab.gpu_compiled import compiled

    settings = load()
    kernels = {kernel.name: kernel for kernel in compiled((9, 0))}
    market = bars.asked_for(asked, asked.days[0])
    mode = space.mode("benchmark", settings)
    work = gpu_model.work_of(market, mode, settings.costs, asked.combos[0], asked.seed)
    print(gpu_model.text(kernels, work, asked.combos[0]))
    return 0


def _parser() -> command.Parser:
    parser = flags.parser("gpu", ABOUT, EPILOG)
    flags.add_bars(parser)
    one = command.whole(1, 10_000_000)
    add = parser.add_argument
    add("--days", type=lambda text: [one(text)], default=[730], metavar="N", help="the first N days (default 730)")
    add("--combos", type=lambda text: [one(text)], default=[250_000], metavar="N", help="how many (default 250000)")
    add_flags(parser, "--seed", default=7, help="seed of the combos (default 7)")
    return parser
