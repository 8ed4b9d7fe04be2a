"""One result, as `results` shows it: its tables, read when they are asked for and checked against its manifest."""

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from config.errors import Refused
from state.files.artifacts import ALL_TRIALS, BESTS, MANIFEST, PHASE0
from state.files.layout import OPTIMIZATIONS, Roots
from state.records import results
from WORKFLOW.engines.ledger import Closed, Opened
from WORKFLOW.frames import tables
from WORKFLOW.frames.published import Published, ours
from WORKFLOW.frames.tables import FLOAT, METRICS, SCREEN, TEXT, UTC, WHOLE, YES_NO, of_parameters, of_records

WINDOWS = ("in_sample", "out_of_sample")
TRADES = {
    "side": pd.CategoricalDtype(["long", "short"]),
    "entry_time": UTC,
    "exit_time": UTC,
    **dict.fromkeys(("entry_price", "exit_price", "pnl", "gross_pnl_pct", "net_pnl_pct", "mae_pct", "mfe_pct"), FLOAT),
    "bars": WHOLE,
    "reason_open": pd.CategoricalDtype([reason.name.lower() for reason in Opened]),
    "reason_close": pd.CategoricalDtype([reason.name.lower() for reason in Closed]),
}
EQUITY = {"time": UTC, "equity": FLOAT, "drawdown_pct": FLOAT, "window": pd.CategoricalDtype(WINDOWS)}
_TRIAL = {
    "number": "int64",
    "batch": WHOLE,
    "source": pd.CategoricalDtype(["phase0", "earlier_round", "sampler"]),
    "feasible": YES_NO,
    "pruned": YES_NO,
    "value": FLOAT,
}
_CHECK = {"name": TEXT, "passed": YES_NO, "value": FLOAT, "threshold": FLOAT, "needed": TEXT, "if_failed": TEXT}
_LISTED = 5


@dataclass(frozen=True, repr=False, eq=False)
class PublishedResult:
    """The result of a symbol and mode, and in it one of its bests (None: its run chose no strategy).

    Each table is read once, when it is first asked for, and is yours to change. All of them are of the run that was
    there when the result was opened: when a later run has replaced it, reading is refused, and never mixed.
    """

    published: Published
    best: str | None

    @property
    def name(self) -> str:
        """`SOL/aggressive/best_sharpe`."""
        return "/".join(filter(None, (self.published.tree.name, self.best)))

    @property
    def folder(self) -> Path:
        """Where the files of the best lie, or of the tree where there is none."""
        return self.published.folder / (self.best or "")

    @property
    def bests(self) -> tuple[str, ...]:
        """All bests of this result; `with_best` opens another one."""
        return self.published.bests

    @property
    def manifest(self) -> dict[str, Any]:
        """`run_manifest.json`: what was computed from what."""
        return self.published.manifest

    @property
    def synthetic(self) -> bool:
        """Whether the bars were generated: then nothing here means anything for a market."""
        return bool(self.published.manifest.get("synthetic"))

    @property
    def verdict(self) -> str:
        """The plain verdict line, as it stands everywhere."""
        return str(self.published.manifest["verdict"] if self.best is None else self.record("metrics.json")["verdict"])

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the best."""
        return dict(self._of("config.json", "parameters"))

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Closed trades of the continuous run over all bars, one a row, in order.

        Index: `entry_time`, open of the bar of the entry, UTC; `exit_time` likewise. `side`, `reason_open` and
        `reason_close`: categories. Prices in quote currency, slippage included; `pnl` in currency after fees; `_pct`
        are fractions: `net_pnl_pct` of the equity at entry after fees, the others of the entry price; `bars`: 5-minute
        bars. Nothing is ever missing. The trade still open at the end is not among them.
        """
        return self._labelled(self._csv("trades.csv", TRADES).set_index("entry_time"))

    @cached_property
    def equity(self) -> pd.DataFrame:
        """The same run's equity at the last close of each UTC day, open profit included.

        Index: `time`, the OPEN of the day's last bar, UTC. `equity` in currency; `drawdown_pct`: fraction, of these
        daily marks; `window`: in_sample or out_of_sample. Nothing is ever missing.
        """
        return self._labelled(self._csv("equity.csv", EQUITY).set_index("time"))

    @cached_property
    def returns(self) -> pd.Series:
        """Daily returns of that equity, fractions: `returns.mean() / returns.std() * 365**0.5` is the Sharpe ratio of
        the window `full`.

        Index: as `equity`. The first is against the capital; after ruin they are 0. Nothing is ever missing.
        """
        costs, marks = self._of("config.json", "costs"), self.equity["equity"]
        with ours(self.folder / "config.json"):
            before = marks.shift(fill_value=float(costs["capital"]))
        returns = (marks / before.where(before > 0.0) - 1.0).fillna(0.0).rename("return")
        returns.attrs = dict(self.equity.attrs)
        return returns

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Every trial of the Bayesian search, in-sample only.

        Index: `number`. `value`: the objective, NaN where the Sharpe ratio is undefined; `fold_1` …: Sharpe ratio of
        each fold in time, NaN where nothing was traded; `params_…`; and the metrics of all in-sample bars, missing in a
        trial that was pruned.
        """
        record = self.published.record(ALL_TRIALS)
        with ours(self.published.folder / ALL_TRIALS):
            rows = [{key: row[key] for key in _TRIAL} for row in record["trials"]]
            folds = [{f"fold_{n}": sharpe for n, sharpe in enumerate(row["folds"], 1)} for row in record["trials"]]
            metrics = of_records([row["metrics"] or {} for row in record["trials"]], METRICS)
            trials = of_records(rows, _TRIAL)
            parameters = of_parameters([row["parameters"] for row in record["trials"]])
            index = pd.Index(trials.pop("number"))
            return self._labelled(
                tables.side_by_side(trials, of_records(folds, {}), parameters, metrics, index=index),
            )

    @cached_property
    def prescreen(self) -> pd.DataFrame:
        """The best combos of the prescreen, at most 500, in-sample only.

        Index: `rank`, 1 is the best Sharpe ratio. `combo`: its number in the seeded draw; `params_…`; five metrics.
        """
        record = self.published.record(PHASE0)
        with ours(self.published.folder / PHASE0):
            rows = [{key: row[key] for key in ("rank", "combo")} for row in record["results"]]
            combos = of_records(rows, {"rank": "int64", "combo": WHOLE})
            parameters = of_parameters([row["parameters"] for row in record["results"]])
            metrics = of_records([row["metrics"] for row in record["results"]], SCREEN)
            index = pd.Index(combos.pop("rank"))
            return self._labelled(tables.side_by_side(combos, parameters, metrics, index=index))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row a window: in_sample, out_of_sample, each on its own and starting flat, and full, one continuous run."""
        names = (*WINDOWS, "full")
        record = self.record("metrics.json")
        with ours(self.folder / "metrics.json"):
            frame = of_records([record[name] for name in names], METRICS)
        frame.index = pd.Index(names, name="window")
        return self._labelled(frame)

    @cached_property
    def validation(self) -> pd.DataFrame:
        """The checks behind the verdict, one a row; those that decide about a promotion stand in `promotion`.

        Index: `name`. `passed`; `value` held against `threshold`, NaN where undefined; a question of yes or no has a
        value of 1 or 0 and no threshold; `needed` and `if_failed` in words. All else of `validation.json`
        (walk-forward, Monte Carlo, regimes, …): `record("validation.json")`.
        """
        checks = self._of("validation.json", "checks")
        with ours(self.folder / "validation.json"):
            return self._labelled(_checks(checks))

    @cached_property
    def promotion(self) -> pd.DataFrame:
        """The checks that look at all runs together, as `validation`; empty where an earlier version kept none."""
        of_best = self.manifest.get("promotion", {}).get(self._chosen(), {})
        with ours(self.published.folder / MANIFEST):
            return self._labelled(_checks(of_best.get("checks", [])))

    def record(self, name: str) -> dict[str, Any]:
        """A JSON file as it is: one of the best's (`validation.json`), or one of the tree's (`search.json`).

        Raises:
            Refused: there is none of that name, or it is not what was published.
        """
        of_tree = name in self.published.tree.sums
        return self.published.record(name if of_tree else f"{self._chosen()}/{name}")

    def with_best(self, best: str) -> "PublishedResult":
        """Another best of the same result."""
        return PublishedResult(self.published, _chosen(self.published, best))

    def __repr__(self) -> str:
        label = " · SYNTHETIC DATA" if self.synthetic else ""
        return f"{self.name}{label}: {self.verdict}\n{self.folder}"

    def _chosen(self) -> str:
        if self.best is None:
            raise Refused(
                f"the run of {self.published.tree.name} chose no strategy: {self.manifest['verdict']}",
                "look at .prescreen and .trials, or search among more combos",
            )
        return self.best

    def _csv(self, name: str, dtypes: dict[str, Any]) -> pd.DataFrame:
        inside = f"{self._chosen()}/{name}"
        return tables.of_csv(self.published.folder / inside, self.published.read(inside), dtypes)

    def _of(self, name: str, key: str) -> Any:
        record = self.record(name)
        with ours(self.folder / name):
            return record[key]

    def _labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        frame.attrs = {"result": self.name, "synthetic": self.synthetic}
        return frame


def result(
    folder: str | os.PathLike[str], best: str | None = None, verify: bool = True, root: str | Path | None = None
) -> PublishedResult:
    """A result and one of its bests.

    Args:
        folder: its folder (`…/SOL/aggressive`, `…/SOL/aggressive/best_sharpe`), or its name as `results` has it.
        best: `best_sharpe`, `best_returns`, `lowest_drawdown` or `best_winrate`; by default the one that `folder`
            names, else the first that is there.
        verify: refuse every file whose SHA-256 is not the one in `run_manifest.json`; False reads them as they are.
        root: the RESULTS_ROOT in which a name is looked for; by default that of the environment, else `state/run`.

    Raises:
        Refused: there is no such result; it names the path and what there is instead.
    """
    tree, of_folder = _located(Path(folder).expanduser(), root)
    opened = Published.opened(tree, verify)
    return PublishedResult(opened, _chosen(opened, best or of_folder))


def roots_of(root: str | Path | None) -> Roots:
    """The roots below a RESULTS_ROOT that somebody named, or those of the environment."""
    if root is None:
        return Roots.from_environment()
    return Roots.from_environment({"RESULTS_ROOT": str(Path(root).expanduser())})


def _located(path: Path, root: str | Path | None) -> tuple[Path, str | None]:
    """The folder of the tree, and the best that `path` names."""
    trees = roots_of(root).optimizations
    for place in dict.fromkeys((path, trees / path)):
        tree, best = (place.parent, place.name) if place.name in BESTS else (place, None)
        if _is_there(tree / MANIFEST):
            return tree.absolute(), best
        if _is_there(tree / PHASE0):
            raise Refused(
                f"{tree} holds a prescreen and no {MANIFEST} yet", "wait until its run has published a result"
            )
    there = _below(path, trees)
    named = f"{', '.join(there[:_LISTED])}{' …' if len(there) > _LISTED else ''}"
    raise Refused(
        f"there is no result in {path}, nor in {trees / path}: neither has a {MANIFEST}",
        f"name one of: {named}" if there else "name the folder of a symbol and mode, or set RESULTS_ROOT (or root=)",
    )


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into, a name that is too long
        return False


def _below(path: Path, trees: Path) -> list[str]:
    """Results in a folder that is above some (a symbol's, a RESULTS_ROOT), else the names of those in the root."""
    with contextlib.suppress(OSError):
        of_symbol = [one.parent for one in sorted(path.glob(f"*/{MANIFEST}"))]
        if found := of_symbol or results.folders(path / OPTIMIZATIONS):
            return [str(folder) for folder in found]
    return [str(folder.relative_to(trees)) for folder in results.folders(trees)]


def _chosen(tree: Published, best: str | None) -> str | None:
    bests = tree.bests
    if best is None:
        return bests[0] if bests else None
    if best not in bests:
        raise Refused(f"{tree.folder} has no {best!r}", f"it has: {', '.join(bests) or 'no strategy at all'}")
    return best


def _checks(rows: list[dict[str, Any]]) -> pd.DataFrame:
    plain = [{**row, "value": None if row["value"] is None else float(row["value"])} for row in rows]
    return of_records(plain, _CHECK).set_index("name")
