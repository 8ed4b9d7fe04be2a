"""The pipeline's command line: words in, an order out. Nothing heavy is imported: help and first output are instant."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import Misused, Refused
from config.settings import Settings, load, with_values

DEMO_SYMBOL = "SYNTHETIC"
ENGINES = ("auto", "native", "gpu", "reference", "vectorbt")
ENGINE_HELP = (
    "auto takes the GPU where one can be used, else native, and says why; gpu: one or none, never the CPU instead; "
    "reference is readable and slow; vectorbt: native does the work, vectorbt repeats every finalist"
)
REGIME_HELP = "also show each finalist by market regime: trend × volatility, as known before each day"

_EXAMPLES = """\
examples:
  scripts/backtest-optimize --single --demo
  scripts/backtest-optimize --single --symbol SOL --mode aggressive --data-path data/SOLUSDT_5m.csv.gz
  scripts/backtest-optimize --single --symbol SOL --data-path data --prescreen 2000 --trials 50 --json
  scripts/backtest-optimize --single --symbol SOL --data-path data --by-regime

A run that was stopped or killed goes on where it was when the same command is typed again.

exit codes: 0 done, 1 refused or failed (the reason is printed), 2 wrong usage, 130 stopped by Ctrl-C
"""


@dataclass(frozen=True)
class Order:
    """What was asked for, with every default filled in."""

    symbol: str
    mode: str
    data_path: Path | None  # None: the generated demo data
    engine: str
    repair: bool
    fresh: bool
    as_json: bool
    settings: Settings
    by_regime: bool = False  # shows what validation.json holds in any case
    gpu: int | None = None  # None: the first; -1: none


def parser(program: str) -> argparse.ArgumentParser:
    """The flags of one symbol's pipeline."""
    p = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=program,
        description="One symbol, the whole pipeline: pre-flight, prescreen, Bayesian search, validation, artifacts.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--symbol", help="as results are to name it; in a folder the data file's name starts with it")
    p.add_argument(
        "--data-path", type=Path, metavar="D", help="folder or file: CSV, CSV.gz, Parquet, Feather, JSON; 5-minute bars"
    )
    p.add_argument(
        "--demo", action="store_true", help="generate synthetic bars and use them; nothing found is promotable"
    )
    p.add_argument("--mode", help="a parameter space of the settings (default: the first of run.modes)")
    p.add_argument("--prescreen", type=int, metavar="N", help="combos to try in phase 0 (default: prescreen.combos)")
    p.add_argument("--trials", type=int, metavar="N", help="Optuna trials (default: search.trials)")
    p.add_argument("--paths", type=int, metavar="N", help="Monte Carlo paths (default: monte_carlo.paths)")
    p.add_argument("--seed", type=int, metavar="S", help="of every random draw (default: run.seed)")
    p.add_argument(
        "--processes", type=int, metavar="N", help="search processes; 0 = one per core; results do not depend on it"
    )
    p.add_argument("--engine", choices=ENGINES, default="auto", help=ENGINE_HELP)
    p.add_argument("--gpu", type=int, metavar="N", help="number of the GPU (default: the first); -1: none is touched")
    p.add_argument(
        "--repair", action="store_true", help="drop rows that repeat an earlier row in every value, and say so"
    )
    p.add_argument("--fresh", action="store_true", help="start anew even when an unfinished run could go on")
    p.add_argument("--by-regime", action="store_true", help=REGIME_HELP)
    p.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return p


def order_from(asked: argparse.Namespace) -> Order:
    """The order that the flags and the settings make together.

    Raises:
        Refused: a value outside its limits, an unknown mode, no data and no --demo.
        Misused: flags that contradict each other, a number that is no GPU's.
    """
    if asked.demo:
        if asked.data_path is not None:
            raise Misused("--demo generates its own bars, and --data-path names others", "leave one of them out")
        if asked.symbol not in (None, DEMO_SYMBOL):
            raise Refused("--demo generates its own bars, and --symbol names others", "leave one of them out")
    elif asked.data_path is None:
        raise Refused("no bars to work on", "name them with --data-path and --symbol, or type --demo to see it work")
    elif asked.symbol is None:
        raise Refused("--symbol is missing", "--symbol SOL finds SOLUSDT_5m.csv.gz in a folder, and names the results")
    settings = with_values(load(), **changes(asked))
    mode = asked.mode or settings.run.modes[0]
    settings.mode(mode)
    return Order(
        symbol=DEMO_SYMBOL if asked.demo else asked.symbol,
        mode=mode,
        data_path=None if asked.data_path is None else asked.data_path.absolute(),
        engine=asked.engine,
        repair=asked.repair,
        fresh=asked.fresh,
        as_json=asked.json,
        settings=settings,
        by_regime=asked.by_regime,
        gpu=gpu_of(asked),
    )


def gpu_of(asked: argparse.Namespace) -> int | None:
    """The number that `--gpu` names; refuses what is none, and `--engine gpu` without any."""
    number: int | None = asked.gpu
    if number is not None and number < -1:
        raise Misused(f"--gpu {number}", "a GPU's number from 0 on, or -1 for none")
    if number == -1 and asked.engine == "gpu":
        raise Misused("--gpu -1 switches GPUs off, and --engine gpu asks for one", "leave one of them out")
    return number


def changes(asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Settings that the flags change: section → key → value."""
    flags = {
        ("prescreen", "combos"): asked.prescreen,
        ("search", "trials"): asked.trials,
        ("search", "processes"): getattr(asked, "processes", None),  # --parallel has lanes instead
        ("monte_carlo", "paths"): asked.paths,
        ("run", "seed"): asked.seed,
    }
    changes: dict[str, dict[str, Any]] = {}
    for (section, key), value in flags.items():
        if value is not None:
            changes.setdefault(section, {})[key] = value
    return changes
