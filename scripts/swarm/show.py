"""The status object as something to look at: one page for the terminal, the monitors and whoever follows a run."""

from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_STYLES = {"complete": "bold green", "failed": "bold red", "quarantined": "bold red", "cancelled": "yellow"}
_MOST_WORKERS = 16  # lines; a page that does not fit hides what matters


def page(now: dict[str, Any]) -> Group:
    """Header, incidents, units, workers; fits into 80 columns, with what matters most on top."""
    parts: list[Any] = [_header(now)]
    for one in now["incidents"]:
        parts.append(Padding(Text(f"! {one['what']}", style="red"), (0, 0, 0, 2)))
        parts.append(Padding(Text(f"→ {one['remedy']}", style="red"), (0, 0, 0, 4)))
    if now["units"]:
        parts.append(_units(now["units"]))
    if now["workers"]:
        parts += _workers(now["workers"])
    if now["healed"]["deaths"]:
        parts.append(Text(f"  healed: {_healed(now['healed'])}", style="green"))
    for one in now["next_steps"]:
        if one["id"] in ("start_again", "start_a_run", "read_results"):
            parts.append(Text(f"  next: {one['what']}", style="dim"))
    return Group(*parts)


def line(now: dict[str, Any]) -> str:
    """The same in one line, for logs and pipes."""
    units = ", ".join(f"{u['symbol']} {u['mode']} {u['phase']} {u['percent']:.0f} %" for u in now["units"])
    wrong = "".join(f" · ! {one['what']}" for one in now["incidents"])
    healed = f" · healed: {_healed(now['healed'])}" if now["healed"]["deaths"] else ""
    return f"{_where(now)}{_clock(now)} · {units or 'nothing to do'}{healed}{wrong}"


def count(number: int, thing: str) -> str:
    """`1 worker`, `2 workers`."""
    plural = "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{'' if number == 1 else plural}"


def _where(now: dict[str, Any]) -> str:
    text = f"{now['run_id'] or 'no run'} · {now['stage']}"
    if now["round"] is None or now["rounds"] == 1:
        return text
    return f"{text} · round {now['round'] + 1}" + (f" of {now['rounds']}" if now["rounds"] else ", until stop")


def _clock(now: dict[str, Any]) -> str:
    if now["elapsed_s"] is None:
        return ""
    left = "" if now["eta_s"] is None else f", about {_span(now['eta_s'])} left"
    return f" · {_span(now['elapsed_s'])}{left}"


def _span(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _header(now: dict[str, Any]) -> Text:
    cpu, target = now["utilisation"]["cpu_pct"], now["utilisation"]["targets"]["cpu_pct"]
    alive, of = sum(agent["fresh"] for agent in now["agents"]), len(now["agents"])
    text = Text(_where(now), style="bold")
    text.append(_clock(now), style="not bold")
    if now["stage"] == "stopped":
        return text
    text.append(f"\n  {count(len(now['workers']), 'worker')} on {count(now['lanes'], 'lane')}", style="not bold")
    text.append(f" · CPU {'–' if cpu is None else f'{cpu:.0f} %'} (target {target:.0f} %)", style="not bold")
    text.append(f" · {alive} of {of} agents alive", style="not bold" if alive == of else "not bold yellow")
    return text


def _units(units: list[dict[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 1), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(width=16)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()  # the one that gives way when the terminal is narrow
    for unit in units:
        table.add_row(
            f"  {unit['symbol']} {unit['mode']}",
            ProgressBar(total=100, completed=unit["percent"], width=16, complete_style="cyan", finished_style="green"),
            f"{unit['percent']:.0f} %",
            Text(unit["phase"], style=_STYLES.get(unit["phase"], "")),
            Text(unit["note"], style="dim", no_wrap=True, overflow="ellipsis"),
        )
    return table


def _workers(workers: list[dict[str, Any]]) -> list[Any]:
    table = Table.grid(padding=(0, 1))
    for worker in workers[:_MOST_WORKERS]:
        silent = worker["last_progress_age_s"]
        table.add_row(
            Text(f"    {worker['lane']}", style="dim"),
            worker["job"],
            f"{worker['done']:,}/{worker['total']:,}" if worker["total"] else "starting",
            Text(f"silent for {silent:.0f} s" if silent >= 5 else "", style="yellow"),
            Text("" if worker["state"] in ("running", "ended") else worker["state"], style="red"),
        )
    more = len(workers) - _MOST_WORKERS
    return [table, Text(f"    … and {count(more, 'worker')} more", style="dim")] if more > 0 else [table]


def _healed(healed: dict[str, Any]) -> str:
    return f"{count(healed['deaths'], 'worker')} replaced, the last: {healed['last']}"
