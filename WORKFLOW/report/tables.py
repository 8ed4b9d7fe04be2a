"""Print the final table: candidates in-sample beside out-of-sample, with chance below them."""

import shlex
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from state.records import holdout

_COLUMNS = (
    ("Sharpe", "sharpe_ratio", "{:.2f}"),
    ("return", "total_return", "{:+.0%}"),
    ("drawdown", "max_drawdown_pct", "{:.0%}"),
    ("wins", "win_rate", "{:.0%}"),
    ("trades", "total_trades", "{}"),
)
_REGIME_COLUMNS = (
    ("days", "days", "{}"),
    ("Sharpe", "sharpe_ratio", "{:.2f}"),
    ("return", "total_return", "{:+.0%}"),
    ("trades", "total_trades", "{}"),
)
TITLES = {
    "best_sharpe": "best Sharpe",
    "best_returns": "best return",
    "lowest_drawdown": "lowest drawdown",
    "best_winrate": "best win rate",
}


def results(outcome: dict[str, Any]) -> Table:
    """Return the table of `outcome` (as `--json` prints it); each cell is in-sample → out-of-sample."""
    synthetic = " · SYNTHETIC DATA" if outcome["synthetic"] else ""
    table = Table(
        title=f"{outcome['symbol']} {outcome['mode']}{synthetic} · in-sample → out-of-sample",
        box=box.SIMPLE_HEAD,
        title_style="bold",
        title_justify="left",
        padding=(0, 1, 0, 0),  # keeps the table within 80 columns
        pad_edge=False,
    )
    table.add_column("strategy", no_wrap=True)
    for title, _, _ in _COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for best, record in outcome["bests"].items():
        cells = [
            f"{_cell(record['in_sample'][key], form)} → {_cell(record['out_of_sample'][key], form)}"
            for _, key, form in _COLUMNS
        ]
        table.add_row(TITLES[best], *cells)
    chance = outcome["chance"]["expected_max_sharpe"]
    if chance is not None:
        table.add_section()
        table.add_row("chance alone", f"{chance:.2f} → 0.00", style="yellow")
    return table


def regimes(outcome: dict[str, Any]) -> list[tuple[str, Table]]:
    """Return the tables by market regime, each with its title; bests that are the same strategy share a table."""
    titles: dict[str, list[str]] = {}
    records: dict[str, dict[str, Any]] = {}
    for best, record in outcome["bests"].items():
        if "by_regime" in record:  # results of older versions have no regimes
            which = str(record["by_regime"])
            titles.setdefault(which, []).append(TITLES[best])
            records[which] = record["by_regime"]
    return [(f"by regime: {', '.join(titles[which])}", _regimes(record)) for which, record in records.items()]


def _regimes(windows: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("trend, volatility", no_wrap=True)
    for heading, _, _ in _REGIME_COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, inside in windows["in_sample"].items():
        outside = windows["out_of_sample"][name]
        if inside["days"] or outside["days"]:
            cells = [f"{_cell(inside[key], form)} → {_cell(outside[key], form)}" for _, key, form in _REGIME_COLUMNS]
            table.add_row(name.replace("_", ", "), *cells)
    return table


def show(outcome: dict[str, Any], console: Console, by_regime: bool = False) -> None:
    """Print the table, the verdicts and the next command to type, and with `by_regime` the tables by regime."""
    console.print()
    if outcome["bests"]:
        console.print(results(outcome))
    for title, table in regimes(outcome) if by_regime else ():
        console.print(Text(title, style="bold"))
        console.print(table)
    left = outcome.get("holdout") or {}  # results of older versions have no record of the holdout
    spent = "; the holdout is used up" if holdout.words(left) else ""
    verdicts: dict[str, list[str]] = {}
    for best, record in outcome["bests"].items():
        verdicts.setdefault(record["verdict"], []).append(TITLES[best])
    for verdict, bests in verdicts.items() or {outcome["verdict"]: []}.items():
        style = "bold green" if verdict.startswith("candidate") else "bold red"
        said = Text(f"{', '.join(bests)}: " if bests else "").append(verdict + spent, style=style)
        console.print(said, soft_wrap=not console.is_terminal)
    promoted = [TITLES[best] for best, record in outcome["bests"].items() if record.get("promoted")]
    held = [best for best, record in outcome["bests"].items() if record.get("candidate") and not record.get("promoted")]
    if promoted:
        console.print(Text(f"promoted: {', '.join(promoted)}", style="bold green"), soft_wrap=not console.is_terminal)
    if held:
        titles = ", ".join(TITLES[best] for best in held)
        why = f"not promoted: {titles}: {outcome['bests'][held[0]].get('promotion')}"
        console.print(Text(why, style="yellow"), soft_wrap=not console.is_terminal)
    for best, record in outcome["bests"].items():
        for note in filter(None, (record.get("note"), record.get("wicks"))):  # results of older versions have no notes
            console.print(Text(f"{TITLES[best]}: {note}"), soft_wrap=not console.is_terminal)
        if "cross_check" in record:
            console.print(f"{TITLES[best]}: {record['cross_check']}", soft_wrap=True, highlight=False, markup=False)
    if spent:
        console.print(Text(holdout.words(left), style="yellow"), soft_wrap=not console.is_terminal)
        console.print(Text(f"  → {holdout.way_out(left)}"), soft_wrap=True)
    console.print(f"\nresults  {outcome['artifacts']}", soft_wrap=True, highlight=False)
    if outcome["bests"]:
        numbers = Path(outcome["artifacts"]) / next(iter(outcome["bests"])) / "metrics.json"
        console.print(f"numbers  cat {shlex.quote(str(numbers))}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"next     {outcome['next']}", soft_wrap=True, highlight=False, markup=False)


def _cell(value: float | int | None, form: str) -> str:
    return "–" if value is None else form.format(value)
