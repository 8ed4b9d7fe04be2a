"""`results --all`: every strategy that any run under RESULTS_ROOT has chosen, in one table."""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from config.errors import Refused
from scripts.swarm import cli
from scripts.swarm.fit import middle
from state.files import snapshot
from state.files.layout import BESTS, Roots
from state.records import results
from state.records.results import PublishedTree

TOP = 10
STANDINGS = ("promoted", "candidate", "not tradeable")
_NAME_COLUMNS = 34  # all of it fits into 80
_BOTH = ("in_sample", "out_of_sample")

# What to sort by → which way is better, the window and the metric.
_SORTS = {
    "out_of_sample": (-1, "out_of_sample", "sharpe_ratio"),
    "in_sample": (-1, "in_sample", "sharpe_ratio"),
    "return": (-1, "out_of_sample", "total_return"),
    "drawdown": (1, "out_of_sample", "max_drawdown_pct"),
    "wins": (-1, "out_of_sample", "win_rate"),
    "trades": (-1, "out_of_sample", "total_trades"),
}


@dataclass(frozen=True)
class Row:
    """One strategy; `found`: how many runs and rounds chose it. `artifacts`: None where a later run's lie there."""

    symbol: str
    mode: str
    strategies: tuple[str, ...]
    run_id: str
    round: int
    synthetic: bool
    standing: str
    verdict: str
    promotion: str | None
    parameters: dict[str, Any]
    in_sample: dict[str, Any]
    out_of_sample: dict[str, Any]
    artifacts: str | None
    found: int = 1

    @property
    def name(self) -> str:
        """`SOL/aggressive/best_sharpe`, the path below the results."""
        return "/".join((self.symbol, self.mode, self.strategies[0]))

    @property
    def identity(self) -> str:
        """The same for the same strategy on the same bars."""
        return json.dumps([self.symbol, self.mode, self.parameters, self.in_sample, self.out_of_sample], sort_keys=True)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What the leaderboard takes."""
    group = parser.add_argument_group("all runs")
    group.add_argument("--all", action="store_true", help="one table of every strategy that any run has chosen")
    group.add_argument("--symbol", metavar="A,B", help="only these")
    group.add_argument("--mode", metavar="A,B", help="only these")
    group.add_argument("--candidates", action="store_true", help="only those that passed all checks of their run")
    group.add_argument("--real", action="store_true", help="only those found on real bars")
    group.add_argument("--sort", choices=_SORTS, help="within a standing (default: out_of_sample, the Sharpe ratio)")
    group.add_argument("--top", type=int, metavar="N", help=f"how many rows to show (default: {TOP}; 0: all)")


def is_asked(asked: argparse.Namespace) -> bool:
    """Whether any of its flags was given."""
    return any((asked.all, asked.symbol, asked.mode, asked.candidates, asked.real, asked.sort, asked.top is not None))


def show(roots: Roots, asked: argparse.Namespace) -> int:
    """The table or the JSON object; 1 when no row is left."""
    rows = collected(roots)
    chosen = _sorted(_filtered(rows, asked), asked.sort or "out_of_sample")
    top = TOP if asked.top is None else asked.top
    shown = chosen[: top or None]
    if asked.json:
        answer = {"results": str(roots.optimizations), "strategies": len(rows), "matching": len(chosen)}
        print(json.dumps({**answer, "rows": [asdict(row) for row in shown]}, indent=2))
    elif not chosen:
        way_out = "leave out one of the filters" if rows else cli.FIRST_RUN
        raise Refused(f"none of {len(rows):,} strategies on file matches", way_out)
    else:
        _print(roots, shown, chosen)
    return 0 if shown else 1


# collecting -----------------------------------------------------------------------------------------------------------


def collected(roots: Roots) -> list[Row]:
    """Every strategy on file, newest first: of the runs' own records, and of result trees whose run is forgotten."""
    trees = [tree for tree in results.trees(roots.optimizations) if _is_ours(tree)]
    owners = {_key(tree.manifest, tree.manifest["execution"]): tree.folder for tree in trees}
    rows: list[Row] = []
    known = set()
    for outcome in _outcomes(roots):
        key = _key(outcome, outcome)
        known.add(key)
        rows += _rows(outcome, outcome.get("bests"), owners.get(key))
    for tree in trees:
        execution = tree.manifest["execution"]
        if _key(tree.manifest, execution) not in known:
            rows += _rows({**tree.manifest, **execution}, {best: _best(tree, best) for best in BESTS}, tree.folder)
    rows.sort(key=lambda row: (row.run_id, row.round), reverse=True)
    return _once(rows)


def _is_ours(tree: PublishedTree) -> bool:
    return _is_labelled(tree.manifest, tree.manifest.get("execution"))


def _is_labelled(labels: dict[str, Any], run: Any) -> bool:
    """Whether a record says whose it is, as ours do: one that was edited or cut must not hide all others."""
    if not isinstance(run, dict) or not isinstance(run.get("round"), int):
        return False
    return all(isinstance(word, str) for word in (labels.get("symbol"), labels.get("mode"), run.get("run_id")))


def _outcomes(roots: Roots) -> Iterator[dict[str, Any]]:
    """What each unit of each round of each run came to."""
    for folder in roots.runs():
        for path in (folder.outcome, *sorted(folder.path.glob("round-*/*/*/outcome.json"))):
            record = snapshot.read_json(path)
            if isinstance(record, dict) and _is_labelled(record, record):
                yield record


def _key(labels: dict[str, Any], run: dict[str, Any]) -> tuple[Any, ...]:
    return labels.get("symbol"), labels.get("mode"), run.get("run_id"), run.get("round")


def _rows(labels: dict[str, Any], bests: Any, tree: Path | None) -> list[Row]:
    """A row a strategy; bests that are one strategy share theirs. What is no record of ours is passed over."""
    found = []
    for best, record in bests.items() if isinstance(bests, dict) else ():
        try:
            found.append(_row(labels, best, record, tree))
        except (KeyError, TypeError):
            continue
    return _once(found)


def _row(labels: dict[str, Any], best: str, record: dict[str, Any], tree: Path | None) -> Row:
    standing = STANDINGS[0 if record["promoted"] else 1 if record["candidate"] else 2]
    for window in _BOTH:
        for metric in ("sharpe_ratio", "total_return", "max_drawdown_pct", "win_rate", "total_trades", "days"):
            if not isinstance(record[window][metric], int | float | None):
                raise TypeError(f"{metric} is {record[window][metric]!r}")
    if not isinstance(record["verdict"], str):
        raise TypeError(f"the verdict is {record['verdict']!r}")
    return Row(
        symbol=labels["symbol"],
        mode=labels["mode"],
        strategies=(best,),
        run_id=labels["run_id"],
        round=labels["round"],
        synthetic=bool(labels["synthetic"]),
        standing=standing,
        verdict=record["verdict"],
        promotion=record.get("promotion"),
        parameters=record["parameters"],
        in_sample=record["in_sample"],
        out_of_sample=record["out_of_sample"],
        artifacts=None if tree is None else str(tree / best),
    )


def _best(tree: PublishedTree, best: str) -> dict[str, Any] | None:
    """One best of a result tree as outcomes have it; None where it is not whole."""
    metrics = tree.seen_record(f"{best}/metrics.json")
    try:
        promotion = tree.manifest["promotion"][best]
        return {
            **{name: metrics[name] for name in _BOTH},
            "parameters": tree.seen_record(f"{best}/config.json")["parameters"],
            "verdict": metrics["verdict"],
            "candidate": tree.seen_record(f"{best}/validation.json")["candidate"],
            "promoted": promotion["promoted"],
            "promotion": promotion["reason"],
        }
    except (KeyError, TypeError):
        return None


def _once(rows: Iterable[Row]) -> list[Row]:
    """Each strategy once, where it was found first in `rows`, with how often; whose files are there wins."""
    seen: dict[str, Row] = {}
    for row in rows:
        known = seen.get(row.identity)
        if known is None:
            seen[row.identity] = row
            continue
        same_run = (known.run_id, known.round) == (row.run_id, row.round)
        strategies = tuple(dict.fromkeys((*known.strategies, *row.strategies))) if same_run else known.strategies
        seen[row.identity] = replace(known, strategies=strategies, found=known.found + (0 if same_run else row.found))
    return list(seen.values())


# choosing and showing -------------------------------------------------------------------------------------------------


def _filtered(rows: list[Row], asked: argparse.Namespace) -> list[Row]:
    symbols, modes = (set((text or "").split(",")) - {""} for text in (asked.symbol, asked.mode))
    return [
        row
        for row in rows
        if (not symbols or row.symbol in symbols)
        and (not modes or row.mode in modes)
        and (not asked.candidates or row.standing != STANDINGS[2])
        and (not asked.real or not row.synthetic)
    ]


def _sorted(rows: list[Row], by: str) -> list[Row]:
    """By standing, then by the measure, undefined last."""
    sign, window, metric = _SORTS[by]

    def key(row: Row) -> tuple[int, bool, float]:
        measure = getattr(row, window)[metric]
        return STANDINGS.index(row.standing), measure is None, 0.0 if measure is None else sign * measure

    return sorted(rows, key=key)


def _print(roots: Roots, shown: list[Row], chosen: list[Row]) -> None:
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


def _cells(row: Row) -> list[str]:
    ends = (row.in_sample, row.out_of_sample)
    sharpe = " → ".join(_cell(one["sharpe_ratio"], "{:.2f}") for one in ends)
    out = row.out_of_sample
    formats = (("total_return", "{:+.0%}"), ("max_drawdown_pct", "{:.0%}"), ("total_trades", "{}"))
    return [sharpe, *(_cell(out[key], form) for key, form in formats)]


def _print_luck(rows: list[Row], say: Callable[..., None]) -> None:
    """Who picks the best of many out-of-sample values picks luck as well: how much of it."""
    from WORKFLOW.validity.chance import expected_max_sharpe

    days = [row.out_of_sample["days"] for row in rows if row.out_of_sample.get("days")]
    luck = expected_max_sharpe(len(rows), min(days)) if days and len(rows) > 1 else None
    if luck is not None:
        said = f"the best out-of-sample Sharpe ratio of {len(rows)} strategies without skill is expected at {luck:.1f}"
        say(f"{said} ({min(days)} days)", style="yellow", soft_wrap=True)


def _cell(value: float | int | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _style(row: Row) -> str:
    return {"promoted": "bold green", "candidate": "green"}.get(row.standing, "red")
