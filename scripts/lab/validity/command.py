"""`scripts/bench validity`: how often the gate promotes luck, and how often it finds a rule that is there."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from config.settings import Settings, load, with_values
from scripts.lab import bars, flags
from scripts.lab.machine import processor
from scripts.lab.validity import markets
from state.host import command
from state.host.cores import usable_cores
from WORKFLOW.command_line import add_flags

ABOUT = "Measure how often the promotion gate promotes luck, and how often it finds a rule that is there."
EPILOG = """\
examples:
  scripts/bench validity --data-path ~/data                  100 markets without a rule, 25 at each strength
  scripts/bench validity --noise 100 --power ""              noise alone
  scripts/bench validity --noise 0 --power 4 --markets 50    how often a net Sharpe ratio of 4 is found

A noise market is made from the bars of --symbol: blocks of bars, 6 hours long on average and a day at most, in random
order and without drift. A market with a planted rule drifts with the signal of one combo, which is drawn at random from
the space, so strongly that this combo has the wanted net Sharpe ratio over all days. Each market is searched and judged
by the pipeline's own phases and settings, on --combos combos and a quarter more around the best.

The column `shown` counts the markets in which the holdout alone shows an edge of some finalist, at a probability of 5 %
for all looks of the run together (docs/adr/0036-one-error-rate-on-unseen-days.md). No verdict follows from it yet. With
--json, `beside` counts the other checks that these finalists did not pass.

exit codes: 0 done; 1 refused, or more than 1 in 100 noise markets promoted, or less than 80 % found at a Sharpe of 4
"""
_MOST_PROMOTED, _LEAST_FOUND, _STRONG = 0.01, 0.8, 4.0


def main(arguments: Sequence[str]) -> int:
    """Judge the markets and print the shares that were promoted; return the exit code."""
    return command.run(_parser, _run, arguments)


def _run(asked: argparse.Namespace) -> int:
    rows = _measured(asked)
    print(json.dumps({"machine": _machine(asked), "levels": rows}, indent=2) if asked.json else _table(asked, rows))
    return 1 if any(_fails(row) for row in rows) else 0


def _measured(asked: argparse.Namespace) -> list[dict[str, Any]]:
    from scripts.lab.validity.lab import try_market

    settings = _settings(asked)
    source = bars.asked_for(asked, asked.days)
    block, mode = settings.validity.placebo_block_bars, settings.mode(asked.mode)
    levels = [(0.0, asked.noise), *((strength, asked.markets) for strength in asked.power)]
    rows = []
    for strength, count in (level for level in levels if level[1]):
        outcomes, planted, began = [], [], time.monotonic()
        for number in range(count):
            seed = np.random.SeedSequence([asked.seed, round(strength * 1000), number])
            if strength:
                made = markets.planted(source, mode, settings.costs, strength, block, seed)
                market = made.bars
                planted.append(made.sharpe_ratio)
            else:
                market = markets.noise(source, block, seed)
            outcomes.append(try_market(market, asked.mode, settings, asked.every_check))
            _say(strength, number + 1, count, outcomes)
        rows.append(_row(strength, outcomes, planted, time.monotonic() - began))
    return rows


def _row(strength: float, outcomes: Sequence[Any], planted: Sequence[float], seconds: float) -> dict[str, Any]:
    def middle(name: str) -> float | None:
        known = [value for one in outcomes if (value := getattr(one, name)) is not None]
        return float(np.median(known)) if known else None

    promoted = sum(one.promoted for one in outcomes)
    return {
        "planted_sharpe": strength,
        "planted_sharpe_measured": float(np.median(planted)) if planted else None,
        "markets": len(outcomes),
        "promoted": promoted,
        "share": promoted / len(outcomes),
        "shown": sum(one.shown for one in outcomes),
        "beside": dict(Counter(name for one in outcomes for name in one.beside).most_common()),
        "median_in_sample_sharpe": middle("in_sample_sharpe"),
        "median_out_of_sample_sharpe": middle("out_of_sample_sharpe"),
        "failed": dict(Counter(name for one in outcomes for name in one.failed).most_common()),
        "seconds": round(seconds, 1),
    }


def _fails(row: dict[str, Any]) -> bool:
    if row["planted_sharpe"] == 0.0:
        return bool(row["promoted"] > max(1.0, _MOST_PROMOTED * row["markets"]))
    return bool(row["planted_sharpe"] == _STRONG and row["share"] < _LEAST_FOUND)


def _settings(asked: argparse.Namespace) -> Settings:
    settings = load()
    return with_values(
        settings,
        prescreen={"combos": asked.combos},
        monte_carlo={"paths": 10},  # no check uses the paths
        run={"seed": asked.seed},
    )


def _table(asked: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> str:
    names = f"{'planted':>8}{'markets':>9}{'promoted':>10}{'':>8}{'shown':>7}{'Sharpe in → out of sample':>28}"
    head = f"{names}   most often failed"
    lines = [_machine(asked), "", head]
    for row in rows:
        sharpe = " → ".join(_number(row[f"median_{name}_sharpe"]) for name in ("in_sample", "out_of_sample"))
        failed = ", ".join(f"{name} {count}" for name, count in list(row["failed"].items())[:3])
        what = "noise" if row["planted_sharpe"] == 0.0 else f"{row['planted_sharpe']:g}"
        counts = f"{what:>8}{row['markets']:>9}{row['promoted']:>10}{row['share']:>8.0%}{row['shown']:>7}"
        lines.append(f"{counts}{sharpe:>28}   {failed}")
    return "\n".join(lines)


def _machine(asked: argparse.Namespace) -> str:
    return (
        f"{processor()} · {usable_cores()} cores · bars of {asked.symbol}, {asked.days} days · "
        f"{asked.mode} · {asked.combos:,} combos"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _say(strength: float, done: int, of: int, outcomes: Sequence[Any]) -> None:
    promoted = sum(one.promoted for one in outcomes)
    what = "noise" if not strength else f"Sharpe {strength:g}"
    end = "\n" if done == of or not sys.stderr.isatty() else "\r"
    if sys.stderr.isatty() or done == of or done % 10 == 0:
        print(f"… {what}: {done} of {of} markets, {promoted} promoted", end=end, file=sys.stderr, flush=True)


def _parser() -> command.Parser:
    parser = flags.parser("validity", ABOUT, EPILOG)
    flags.add_bars(parser)
    add, count = parser.add_argument, command.whole(0, 10_000_000)
    add("--days", type=count, default=730, metavar="N", help="days of a market (default 730)")
    add("--combos", type=count, default=10_000, metavar="N", help="combos of each prescreen (default 10000)")
    add_flags(parser, "--mode", default="aggressive", help="parameter space (default aggressive)")
    add("--noise", type=count, default=100, metavar="N", help="markets without a rule (default 100)")
    add(
        "--power",
        type=_strengths,
        default=[1.0, 2.0, 3.0, 4.0],
        metavar="S[,S]",
        help="net Sharpe ratios of the planted rules (default 1,2,3,4)",
    )
    add("--markets", type=count, default=25, metavar="N", help="markets at each of these ratios (default 25)")
    add("--every-check", action="store_true", help="make all checks on all markets, also when the holdout fails")
    add_flags(parser, "--seed", type=count, default=7, help="seed of markets and searches (default 7)")
    add_flags(parser, "--json", help="one object on standard output")
    return parser


def _strengths(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",") if part]
    except ValueError:
        found = [-1.0]
    if any(not 0.1 <= one <= 20 for one in found):
        raise argparse.ArgumentTypeError(f"{text!r} holds a value that is not a Sharpe ratio from 0.1 to 20")
    return found
