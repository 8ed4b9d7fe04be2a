"""The pipeline's command line: words in, an order out. Nothing heavy is imported: help and first output are instant."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import Misused, Refused
from config.reading import AS_IT_IS, DATE_FORMAT_HELP, TIMEZONE_HELP, Reading
from config.settings import Settings, load, with_values

DEMO_SYMBOL = "SYNTHETIC"
ENGINES = ("auto", "native", "gpu", "reference", "vectorbt")
ENGINE_ALIASES = {"raw_kernel": "gpu"}  # the name under which deployed launch scripts ask for the GPU's kernels
ENGINE_HELP = (
    "auto takes the GPU where one can be used, else native, and says why; gpu (or its older name raw_kernel): one or "
    "none, never the CPU instead; reference is readable and slow; vectorbt: native does the work, vectorbt repeats "
    "every finalist"
)
DATA_VARIABLE = "BACKTEST_OPTIMIZE_DATA"
SEED_DIRS_HELP = (
    "also try first what other prescreens of the symbol and mode found: results roots, lane roots or result folders "
    "with a phase0_top500.json; merged by score, and their tries are counted with this run's"
)
ALLOW_WICKS_HELP = "trade on highs and lows that no neighbouring bar reaches; the results say how much depends on them"
REGIME_HELP = "also show each finalist by market regime: trend × volatility, as known before each day"

_EXAMPLES = """\
examples:
  scripts/backtest-optimize --single --demo
  scripts/backtest-optimize --single --symbol SOL --mode aggressive --data-path data/SOLUSDT_5m.csv.gz
  scripts/backtest-optimize --single --symbol SOL --data-path data --prescreen 2000 --trials 50 --json
  scripts/backtest-optimize --single --symbol SOL --data-path data --by-regime

A run that was stopped or killed continues where it stopped when the same command is typed again.

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
    seed_dirs: tuple[Path, ...] = ()  # with prescreens of other machines and lanes
    allow_wicks: bool = False
    reading: Reading = AS_IT_IS  # of times that the data file leaves open


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
        "--data-path",
        type=Path,
        metavar="D",
        help="5-minute bars, a folder or a file: CSV, text, Parquet, Feather or JSON, packed too "
        f"(default: ${DATA_VARIABLE})",
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
    p.add_argument("--engine", type=engine_named, choices=ENGINES, default="auto", help=ENGINE_HELP)
    p.add_argument("--gpu", type=int, metavar="N", help="number of the GPU (default: the first); -1: none is touched")
    p.add_argument("--phase0-seed-dirs", type=Path, nargs="+", default=(), metavar="DIR", help=SEED_DIRS_HELP)
    p.add_argument(
        "--repair", action="store_true", help="drop rows that repeat an earlier row in every value, and say so"
    )
    p.add_argument("--allow-wicks", action="store_true", help=ALLOW_WICKS_HELP)
    add_reading(p)
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
            raise Misused(
                "--demo generates its own bars, and --data-path names others",
                "leave out --data-path; or leave out --demo, and name the symbol of your bars with --symbol",
            )
        if asked.symbol not in (None, DEMO_SYMBOL):
            raise Refused(
                "--demo generates its own bars, and --symbol names others",
                "leave out --symbol; or leave out --demo, and say with --data-path where its bars are",
            )
    elif asked.data_path is None and (asked.symbol is None or data_path_of(asked) is None):
        raise Refused(
            "no bars to work on",
            f"name them with --data-path and --symbol, or their folder in {DATA_VARIABLE}; --demo shows how it works",
        )
    elif asked.symbol is None:
        raise Refused("--symbol is missing", "--symbol SOL finds SOLUSDT_5m.csv.gz in a folder, and names the results")
    settings = with_values(load(), **changes(asked))
    mode = asked.mode or settings.run.modes[0]
    settings.mode(mode)
    data_path = None if asked.demo else data_path_of(asked)
    return Order(
        symbol=DEMO_SYMBOL if asked.demo else asked.symbol,
        mode=mode,
        data_path=None if data_path is None else data_path.absolute(),
        engine=asked.engine,
        repair=asked.repair,
        fresh=asked.fresh,
        as_json=asked.json,
        settings=settings,
        by_regime=asked.by_regime,
        gpu=gpu_of(asked),
        seed_dirs=seed_dirs_of(asked),
        allow_wicks=asked.allow_wicks,
        reading=reading_of(asked),
    )


def engine_named(name: str) -> str:
    """The engine of that name; an alias stands for what it has been called since."""
    return ENGINE_ALIASES.get(name, name)


def data_path_of(asked: argparse.Namespace) -> Path | None:
    """The folder or file that `--data-path` names, else the one in `BACKTEST_OPTIMIZE_DATA`; None without either."""
    if asked.data_path is not None:
        return Path(asked.data_path)
    named = os.environ.get(DATA_VARIABLE, "")
    return Path(named).expanduser() if named else None


def seed_dirs_of(asked: argparse.Namespace) -> tuple[Path, ...]:
    """The folders that `--phase0-seed-dirs` names, each once; commas separate, too."""
    words = (word for path in asked.phase0_seed_dirs for word in str(path).split(",") if word)
    return tuple(dict.fromkeys(Path(word).expanduser().absolute() for word in words))


def add_reading(p: argparse.ArgumentParser) -> None:
    """The flags that say how times of a data file are to be read, wherever one is named."""
    p.add_argument("--date-format", metavar="F", help=DATE_FORMAT_HELP)
    p.add_argument("--timezone", metavar="Z", help=TIMEZONE_HELP)


def reading_of(asked: argparse.Namespace, usage: Callable[[str], Any] | None = None) -> Reading:
    """What these flags say; `usage` ends the command where one of them is nonsense, else it is refused."""
    try:
        return Reading(asked.date_format, asked.timezone)
    except Misused as misuse:
        if usage is not None:
            usage(f"{misuse.reason}: {misuse.way_out}")
        raise


def reading_words(reading: Reading) -> tuple[str, ...]:
    """The flags that say the same to another command."""
    return tuple(f"--{name.replace('_', '-')}={value}" for name, value in reading.as_json().items())


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
