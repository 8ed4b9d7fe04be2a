"""`results --all`: every strategy that any run under RESULTS_ROOT has chosen, in one table."""

import argparse
import json
from collections.abc import Callable

from config.errors import Refused
from scripts.swarm import cli
from scripts.swarm.fit import middle
from state.files.layout import Roots
from state.records.strategies import SORTS, STANDINGS, ChosenStrategy, collected, ranked

TOP = 10
_NAME_COLUMNS = 34  # all of it fits into 80


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What the leaderboard takes."""
    group = parser.add_argument_group("all runs")
    group.add_argument("--all", action="store_true", help="one table of every strategy that any run has chosen")
    group.add_argument("--symbol", metavar="A,B", help="only these")
    group.add_argument("--mode", metavar="A,B", help="only these")
    group.add_argument("--candidates", action="store_true", help="only those that passed all checks of their run")
    group.add_argument("--real", action="store_true", help="only those found on real bars")
    group.add_argument("--sort", choices=SORTS, help="within a standing (default: out_of_sample, the Sharpe ratio)")
    group.add_argument("--top", type=int, metavar="N", help=f"how many rows to show (default: {TOP}; 0: all)")


def is_asked(asked: argparse.Namespace) -> bool:
    """Whether any of its flags was given."""
    return any((asked.all, asked.symbol, asked.mode, asked.candidates, asked.real, asked.sort, asked.top is not None))


def show(roots: Roots, asked: argparse.Namespace) -> int:
    """The table or the JSON object; 1 when no row is left."""
    rows = collected(roots)
    chosen = ranked(_filtered(rows, asked), asked.sort or "out_of_sample")
    top = TOP if asked.top is None else asked.top
    shown = chosen[: top or None]
    if asked.json:
        answer = {"results": str(roots.optimizations), "strategies": len(rows), "matching": len(chosen)}
        print(json.dumps({**answer, "rows": [row.as_json() for row in shown]}, indent=2))
    elif not chosen:
        way_out = "leave out one of the filters" if rows else cli.FIRST_RUN
        raise Refused(f"none of {len(rows):,} strategies on file matches", way_out)
    else:
        _print(roots, shown, chosen)
    return 0 if shown else 1


# choosing and showing -------------------------------------------------------------------------------------------------


def _filtered(rows: list[ChosenStrategy], asked: argparse.Namespace) -> list[ChosenStrategy]:
    symbols, modes = (set((text or "").split(",")) - {""} for text in (asked.symbol, asked.mode))
    return [
        row
        for row in rows
        if (not symbols or row.symbol in symbols)
        and (not modes or row.mode in modes)
        and (not asked.candidates or row.standing != STANDINGS[2])
        and (not asked.real or not row.synthetic)
    ]


def _print(roots: Roots, shown: list[ChosenStrategy], chosen: list[ChosenStrategy]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("strategy", no_wrap=True)
    for title in ("Sharpe", "return", "drawdown", "trades"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in shown:
        name = Text(middle(row.name, _NAME_COLUMNS), style=_style(row))
        if row.artifacts:
            name.stylize(f"link file://{row.artifacts}")
        table.add_row(name, *_cells(row))
    console.print(table)
    for row in shown:
        where = f"{row.run_id} round {row.round + 1}" + (f", {row.found} times" if row.found > 1 else "")
        gone = "" if row.artifacts else " (its files were replaced by a later run)"
        also = f" = {', '.join(row.strategies[1:])}" if len(row.strategies) > 1 else ""
        console.print(Text(f"{row.name}{also} · {where}{gone}", style="bold"), soft_wrap=not console.is_terminal)
        console.print(Text(f"  {row.verdict}", style=_style(row)), soft_wrap=not console.is_terminal)
    print()
    if len(chosen) > len(shown):
        print(f"{len(shown)} of {len(chosen)} strategies; --top 0 shows all, --help how to choose")
    _print_luck(chosen, console.print)
    print(f"results  {roots.optimizations}")


def _cells(row: ChosenStrategy) -> list[str]:
    ends = (row.in_sample, row.out_of_sample)
    sharpe = " → ".join(_cell(one.sharpe_ratio, "{:.2f}") for one in ends)
    out = row.out_of_sample
    formats = (("total_return", "{:+.0%}"), ("max_drawdown_pct", "{:.0%}"), ("total_trades", "{}"))
    return [sharpe, *(_cell(getattr(out, key), form) for key, form in formats)]


def _print_luck(rows: list[ChosenStrategy], say: Callable[..., None]) -> None:
    """Who picks the best of many out-of-sample values picks luck as well: how much of it."""
    from WORKFLOW.validity.chance import expected_max_sharpe

    days = [row.out_of_sample.days for row in rows if row.out_of_sample.days]
    luck = expected_max_sharpe(len(rows), min(days)) if days and len(rows) > 1 else None
    if luck is not None:
        said = f"the best out-of-sample Sharpe ratio of {len(rows)} strategies without skill is expected at {luck:.1f}"
        say(f"{said} ({min(days)} days)", style="yellow", soft_wrap=True)


def _cell(value: float | int | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _style(row: ChosenStrategy) -> str:
    return {"promoted": "bold green", "candidate": "green"}.get(row.standing, "red")
