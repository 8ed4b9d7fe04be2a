"""The pipeline's command line: it turns words into an order. It imports nothing heavy, so that `--help` is instant."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import Misused, Refused
from config.reading import AS_IT_IS, DATE_FORMAT_HELP, TIMEZONE_HELP, Reading
from config.settings import Settings, load, with_values
from state.host import command

DEMO_SYMBOL = "SYNTHETIC"
ENGINES = ("auto", "native", "gpu", "reference", "vectorbt")
ENGINE_ALIASES = {"raw_kernel": "gpu"}  # the name in launch scripts that users have deployed
DATA_VARIABLE = "BACKTEST_OPTIMIZE_DATA"

_SWITCH: Mapping[str, Any] = {"action": "store_true"}
_NUMBER: Mapping[str, Any] = {"type": int, "metavar": "N"}
_ENGINE_HELP = (
    "auto takes the GPU where one can be used, else native, and says why; gpu (or its older name raw_kernel) takes the "
    "GPU or refuses, and never falls back to the CPU; reference is readable and slow; with vectorbt, native does the "
    "work and vectorbt repeats every finalist"
)
_BARS_HELP = (
    f"5-minute bars, a folder or a file: CSV, text, Parquet, Feather or JSON, packed too (default: ${DATA_VARIABLE})"
)
_SEED_DIRS_HELP = (
    "also try first what other prescreens of the symbol and mode found: results roots, lane roots or result folders "
    "with a phase0_top500.json; merged by score, and their tries are counted with this run's"
)
_WICKS_HELP = "trade on highs and lows that no neighbouring bar reaches; the results say how much depends on them"


def engine_named(name: str) -> str:
    """Return the engine of that name; an older name stands for its present one."""
    return ENGINE_ALIASES.get(name, name)


# The flags that several commands share, each defined once; `add_flags` adds them to a parser.
FLAGS: Mapping[str, Mapping[str, Any]] = {
    "--symbol": {
        "metavar": "S",
        "help": "symbol, as the results name it; in a folder, the data file's name starts with it",
    },
    "--symbols": {"metavar": "A,B", "help": "symbols, as the results name them; the data files' names start with them"},
    "--data-path": {"type": Path, "metavar": "D", "help": _BARS_HELP},
    "--demo": {**_SWITCH, "help": "generate synthetic bars and use them; nothing found is promotable"},
    "--date-format": {"metavar": "F", "help": DATE_FORMAT_HELP},
    "--timezone": {"metavar": "Z", "help": TIMEZONE_HELP},
    "--repair": {**_SWITCH, "help": "drop rows that repeat an earlier row in every value, and say so"},
    "--allow-wicks": {**_SWITCH, "help": _WICKS_HELP},
    "--mode": {"metavar": "M", "help": "a parameter space of the settings (default: the first of run.modes)"},
    "--modes": {"metavar": "A,B", "help": "parameter spaces of the settings (default: run.modes)"},
    "--rounds": _NUMBER,
    "--prescreen": {**_NUMBER, "help": "combos to try in phase 0 (default: prescreen.combos)"},
    "--trials": {**_NUMBER, "help": "Optuna trials (default: search.trials)"},
    "--paths": {**_NUMBER, "help": "Monte Carlo paths (default: monte_carlo.paths)"},
    "--seed": {"type": int, "metavar": "S", "help": "seed of every random draw (default: run.seed)"},
    "--engine": {"type": engine_named, "choices": ENGINES, "default": "auto", "help": _ENGINE_HELP},
    "--gpu": {**_NUMBER, "help": "number of the GPU (default: the first); -1: no GPU is used"},
    "--phase0-seed-dirs": {"type": Path, "nargs": "+", "default": (), "metavar": "DIR", "help": _SEED_DIRS_HELP},
    "--by-regime": {
        **_SWITCH,
        "help": "also show each finalist by market regime: trend × volatility, as known before each day",
    },
    "--json": {**_SWITCH, "help": "print the result as one JSON object"},
}
READING = ("--date-format", "--timezone")  # how to read the times of a data file, for every command that names one
SIZES = ("--prescreen", "--trials", "--paths")


def add_flags(parser: argparse.ArgumentParser, *names: str, **instead: Any) -> None:
    """Add shared flags to a parser; `instead` replaces arguments of `add_argument` for this command."""
    for name in names:
        parser.add_argument(name, **{**FLAGS[name], **instead})


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
    """What the user asked for, with every default filled in."""

    symbol: str
    mode: str
    data_path: Path | None  # None: generated demo data
    engine: str
    repair: bool
    fresh: bool
    as_json: bool
    settings: Settings
    by_regime: bool = False  # whether to show the regimes, which validation.json holds in any case
    gpu: int | None = None  # number of the GPU; None: the first; -1: none
    seed_dirs: tuple[Path, ...] = ()  # folders with prescreens of other machines and lanes
    allow_wicks: bool = False
    reading: Reading = AS_IT_IS  # for times that the data file leaves open


def parser(program: str) -> command.Parser:
    """Return the parser for the pipeline of one symbol."""
    p = command.Parser(
        prog=program,
        description="One symbol, the whole pipeline: pre-flight, prescreen, Bayesian search, validation, artifacts.",
        epilog=_EXAMPLES,
    )
    add_flags(p, "--symbol", "--data-path", "--demo", "--mode", *SIZES, "--seed")
    processes = "search processes; 0 = one per core; results do not depend on it"
    p.add_argument("--processes", type=int, metavar="N", help=processes)
    add_flags(p, "--engine", "--gpu", "--phase0-seed-dirs", "--repair", "--allow-wicks", *READING)
    p.add_argument(
        "--fresh", action="store_true", help="start from the beginning, even when an unfinished run could be continued"
    )
    add_flags(p, "--by-regime", "--json")
    return p


def order_from(asked: argparse.Namespace) -> Order:
    """Return the order that the flags and the settings make together.

    Raises:
        Refused: a value lies outside its limits, a mode is unknown, or there is neither data nor --demo.
        Misused: flags contradict each other, or a number cannot be a GPU's.
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


def data_path_of(asked: argparse.Namespace) -> Path | None:
    """Return the path that `--data-path` names, or else the one in `BACKTEST_OPTIMIZE_DATA`; None without either."""
    if asked.data_path is not None:
        return Path(asked.data_path)
    named = os.environ.get(DATA_VARIABLE, "")
    return Path(named).expanduser() if named else None


def seed_dirs_of(asked: argparse.Namespace) -> tuple[Path, ...]:
    """Return the folders that `--phase0-seed-dirs` names, each once; commas may separate them, too."""
    words = (word for path in asked.phase0_seed_dirs for word in str(path).split(",") if word)
    return tuple(dict.fromkeys(Path(word).expanduser().absolute() for word in words))


def reading_of(asked: argparse.Namespace) -> Reading:
    """Return how to read the data's times, from these flags.

    Raises:
        Misused: a flag has an impossible value.
    """
    return Reading(asked.date_format, asked.timezone)


def reading_words(reading: Reading) -> tuple[str, ...]:
    """Return the flags that say the same to another command."""
    return tuple(f"--{name.replace('_', '-')}={value}" for name, value in reading.as_json().items())


def gpu_of(asked: argparse.Namespace) -> int | None:
    """Return the number that `--gpu` names; refuse impossible numbers, and `--engine gpu` together with none."""
    number: int | None = asked.gpu
    if number is not None and number < -1:
        raise Misused(f"--gpu {number}", "a GPU's number from 0 on, or -1 for none")
    if number == -1 and asked.engine == "gpu":
        raise Misused("--gpu -1 switches GPUs off, and --engine gpu asks for one", "leave one of them out")
    return number


def changes(asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the settings that the flags change: section → key → value."""
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
