"""Trade the same signals here and in engines nobody here wrote, and compare trade by trade."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import Refused
from scripts.infra import environment
from state.host import command

if TYPE_CHECKING:  # numba and pyarrow: --help answers before any of them is loaded
    from collections.abc import Sequence

    from WORKFLOW.crosscheck.agreement import Agreement, Fills
    from WORKFLOW.crosscheck.question import ToolQuestion
    from WORKFLOW.crosscheck.recipes import Recipe
    from WORKFLOW.data.bars import Bars
    from WORKFLOW.report.console import Screen
    from WORKFLOW.search.evaluate import Evaluator

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LEAST_TRADES = 500  # of one recipe over all symbols; fewer would not meet the rare bars where engines part
_MOST_DAYS = 100_000
DEFAULT_DAYS = 730
ENGINES = ("vectorbt", "backtesting", "all")

# Quick and slow signals, tight and wide exits. Trailing stop, time exit and direction count where our own rules are
# traded (`as_traded`); the tools' own recipes trade both directions without them.
_COLUMNS = (
    "fast_timeframe",
    "fast_period",
    "slow_timeframe",
    "slow_period",
    "stop_loss",
    "take_profit",
    "trailing_stop",
    "max_bars",
    "direction",
)
_ROWS: tuple[tuple[int | float | str, ...], ...] = (
    (15, 12, 60, 40, 0.02, 0.05, 0.0, 0, "both"),
    (15, 20, 60, 60, 0.01, 0.03, 0.02, 100, "long_only"),
    (30, 8, 60, 50, 0.005, 0.01, 0.006, 0, "short_only"),
    (15, 5, 60, 10, 0.03, 0.15, 0.01, 30, "both"),
)
COMBOS: tuple[dict[str, int | float | str], ...] = tuple(dict(zip(_COLUMNS, row, strict=True)) for row in _ROWS)

EPILOG = """\
examples:
  scripts/crosscheck --data-path ~/data --symbol SOL,BTC
  scripts/crosscheck --data-path ~/data/SOLUSDT_5m.csv.gz --symbol SOL --engine vectorbt --days 200 --json
  scripts/crosscheck --demo

backtesting.py is AGPL and no part of the product: its first use makes an environment of its own for it
(state/.venv-crosscheck), which takes a network. What each tool does differently: docs/reference/engine_differences.md

exit codes: 0 all agree, 1 some trades differ or refused with a reason, 2 usage, 130 stopped by Ctrl-C
"""


@dataclass(frozen=True)
class CrosscheckRow:
    """One recipe on one symbol, all combos together."""

    recipe: Recipe
    version: str
    symbol: str
    by_combo: tuple[Agreement, ...]

    @property
    def agreement(self) -> Agreement:
        """Of all combos."""
        return reduce(add, self.by_combo)


def main(arguments: Sequence[str], recipes: Sequence[Recipe] | None = None) -> int:
    """The command; `recipes` stand in for all that are known."""
    return command.run(_parser, lambda asked: _run(asked, recipes), arguments)


def _parser() -> command.Parser:
    from WORKFLOW.command_line import READING, add_flags

    p = command.Parser(prog="scripts/crosscheck", description=__doc__, epilog=EPILOG, is_older=True)
    add_flags(p, "--data-path", *READING)
    add_flags(p, "--symbol", action="append", metavar="A,B", help="one or more, also by repeating the option")
    add_flags(p, "--demo", help="generated bars instead of real ones")
    add_flags(p, "--repair", "--allow-wicks")
    p.add_argument(
        "--days",
        type=command.whole(1, _MOST_DAYS),
        default=DEFAULT_DAYS,
        metavar="N",
        help="the first N days (default: 730)",
    )
    p.add_argument("--engine", choices=ENGINES, default="all", help="which tool to ask (default: all)")
    add_flags(p, "--json", help="print one JSON object")
    return p


def _run(asked: argparse.Namespace, recipes: Sequence[Recipe] | None) -> int:
    from WORKFLOW.crosscheck.recipes import RECIPES
    from WORKFLOW.report.console import Screen

    markets = _markets(asked)
    chosen = [r for r in recipes or RECIPES if asked.engine in ("all", r.tool)]
    pythons = _pythons(chosen)  # before anything is computed: without a network this says so at once
    rows: list[CrosscheckRow] = []
    with Screen() as screen:
        for bars in markets:
            for tool in dict.fromkeys(recipe.tool for recipe in chosen):
                of_tool = [recipe for recipe in chosen if recipe.tool == tool]
                rows += _compared(bars, tool, of_tool, pythons.get(tool), screen)
    reasons = _reasons(rows)
    if asked.json:
        print(json.dumps(_record(rows, markets, reasons), indent=2, allow_nan=False))
    else:
        _show(rows, reasons)
    return 1 if reasons else 0


def _pythons(recipes: Sequence[Recipe]) -> dict[str, Path]:
    """The interpreter of each tool that does not live beside the product."""
    if not any(recipe.tool == "backtesting" for recipe in recipes):
        return {}
    try:
        return {"backtesting": environment.beside(CHECKOUT, "crosscheck")}
    except Refused as refused:
        raise Refused(
            f"backtesting.py needs an environment of its own, which cannot be made: {refused.reason}",
            "connect this machine, or tell pip of a mirror (pip config); without backtesting.py: --engine vectorbt",
        ) from refused


def _markets(asked: argparse.Namespace) -> list[Bars]:
    """The first days of every symbol's bars."""
    from config.settings import load
    from scripts.infra.bars import named
    from WORKFLOW.data.bars import BARS_PER_DAY

    symbols = [symbol for words in asked.symbol or () for symbol in words.split(",") if symbol]
    found = []
    for bars in named(asked, symbols, load()):
        if asked.days != DEFAULT_DAYS and asked.days > bars.days:
            raise Refused(f"{bars.symbol} has {bars.days:.1f} days, not {asked.days}", f"--days {int(bars.days)}")
        found.append(bars.before(min(asked.days * BARS_PER_DAY, len(bars))))
    return found


def _compared(
    bars: Bars, tool: str, recipes: Sequence[Recipe], python: Path | None, screen: Screen
) -> list[CrosscheckRow]:
    """Every recipe of one tool over one market."""
    from WORKFLOW.crosscheck.agreement import compare
    from WORKFLOW.crosscheck.question import ask

    plan = [(recipe, combo) for recipe in recipes for combo in COMBOS]
    evaluator = _evaluator(bars)
    with screen.phase(f"{bars.symbol} {tool}", 2 * len(plan)) as phase:
        ours = []
        for recipe, combo in plan:
            ours.append(_ours(evaluator, recipe, combo))
            phase.step(f"{recipe.name}, ours")
        questions = [question for question, _ in ours]
        answer = ask(tool, evaluator.market, questions, python, lambda done: phase.at(len(plan) + done, tool))
    found = [
        (recipe, compare(fills, theirs))
        for (recipe, _), (_, fills), theirs in zip(plan, ours, answer.fills, strict=True)
    ]
    return [CrosscheckRow(r, answer.version, bars.symbol, tuple(a for of, a in found if of is r)) for r in recipes]


def _evaluator(bars: Bars) -> Evaluator:
    from config.settings import load
    from WORKFLOW.engines.market import Market
    from WORKFLOW.search.evaluate import Evaluator
    from WORKFLOW.signals.mtf_ema import MTF_EMA

    return Evaluator(Market.of(bars), MTF_EMA, load().costs)


def _ours(evaluator: Evaluator, recipe: Recipe, combo: dict[str, int | float | str]) -> tuple[ToolQuestion, Fills]:
    """What to ask, and our own trades: native under our rules, else the reference under the recipe's switches."""
    from WORKFLOW.crosscheck.agreement import fills_of
    from WORKFLOW.crosscheck.question import ToolQuestion
    from WORKFLOW.engines import reference

    if recipe.switches is None:
        rules, market = evaluator.rules(combo, "sl_first"), evaluator.market
        ledger = evaluator.ledger(combo, evaluator.whole)
    else:
        plain = {**combo, "trailing_stop": 0.0, "max_bars": 0, "direction": "both"}
        rules = replace(evaluator.rules(plain, "sl_first"), slippage=0.0)
        market = replace(evaluator.market, has_tick=False)  # a tool's own user has no levels on ticks
        ledger = reference.simulate(market, evaluator.signal(combo), rules, evaluator.whole, recipe.switches)
    question = ToolQuestion.of(recipe.name, rules, market.has_tick, evaluator.signal(combo), evaluator.whole)
    return question, fills_of(ledger, rules.fee_rate)


# what came out --------------------------------------------------------------------------------------------------------


def _totals(rows: Sequence[CrosscheckRow]) -> list[tuple[Recipe, Agreement]]:
    recipes = {row.recipe.name: row.recipe for row in rows}
    return [
        (recipe, reduce(add, (row.agreement for row in rows if row.recipe is recipe))) for recipe in recipes.values()
    ]


def _reasons(rows: Sequence[CrosscheckRow]) -> list[str]:
    """Why this is not an agreement; empty when it is one."""
    reasons = []
    for recipe, total in _totals(rows):
        if recipe.must_agree and not total.agree:
            reasons.append(f"{recipe.tool} {recipe.name}: {total.identical} of {total.trades_ours} trades identical")
        elif recipe.must_agree and total.trades_ours < LEAST_TRADES:
            reasons.append(f"{recipe.tool} {recipe.name}: {total.trades_ours} trades are too few to tell, --days more")
    return reasons


def _record(rows: Sequence[CrosscheckRow], markets: Sequence[Bars], reasons: Sequence[str]) -> dict[str, Any]:
    return {
        "agree": not reasons,
        "reasons": list(reasons),
        "combos": list(COMBOS),
        "markets": [
            {"symbol": bars.symbol, "bars": len(bars), "synthetic": bars.synthetic, "sha256": bars.sha256}
            for bars in markets
        ],
        "checks": [
            {
                "recipe": row.recipe.name,
                "must_agree": row.recipe.must_agree,
                "tool": row.recipe.tool,
                "version": row.version,
                "symbol": row.symbol,
                **row.agreement.as_json(),
                "by_combo": [one.as_json() for one in row.by_combo],
            }
            for row in rows
        ],
        "totals": {recipe.name: asdict(total) for recipe, total in _totals(rows)},
    }


def _show(rows: Sequence[CrosscheckRow], reasons: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for title in ("tool", "recipe", "symbol"):
        table.add_column(title, no_wrap=True)
    for title in ("ours", "theirs", "identical"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        a = row.agreement
        style = "" if a.agree else "bold red" if row.recipe.must_agree else "yellow"
        counts = (f"{n:,}" for n in (a.trades_ours, a.trades_theirs, a.identical))
        table.add_row(f"{row.recipe.tool} {row.version}", row.recipe.name, row.symbol, *counts, style=style)
    console = Console()
    console.print(table)
    for row in rows:
        if row.agreement.first_difference:
            said = f"{row.recipe.name} {row.symbol}: {row.agreement.first_difference}"
            console.print(said, soft_wrap=True, highlight=False)
    for recipe, total in _totals(rows):
        if not recipe.must_agree:
            line = f"{recipe.name} ({recipe.says}): {total.identical:,} of {total.trades_ours:,} trades identical"
            console.print(line, style="yellow", soft_wrap=True, highlight=False)
    for reason in reasons:
        console.print(f"DIFFERS: {reason}", style="bold red", soft_wrap=True, highlight=False)
    if not reasons:
        agreed = sum(total.identical for recipe, total in _totals(rows) if recipe.must_agree)
        console.print(f"all {agreed:,} trades identical", style="bold green", highlight=False)
