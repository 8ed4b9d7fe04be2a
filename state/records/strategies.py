"""All strategies that the runs on file have chosen, each once, for `results --all` and `frames.results`."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from config.record import asdict, dataclass, replace
from state.files import snapshot
from state.files.artifacts import BESTS
from state.files.layout import Roots
from state.records import results
from state.records.metrics import StatedMetrics
from state.records.results import PublishedTree

STANDINGS = ("promoted", "candidate", "not tradeable")  # the best first

# What to sort by → the sign that puts better values first, the window and the metric.
SORTS = {
    "out_of_sample": (-1, "out_of_sample", "sharpe_ratio"),
    "in_sample": (-1, "in_sample", "sharpe_ratio"),
    "return": (-1, "out_of_sample", "total_return"),
    "drawdown": (1, "out_of_sample", "max_drawdown_pct"),
    "wins": (-1, "out_of_sample", "win_rate"),
    "trades": (-1, "out_of_sample", "total_trades"),
}

_BOTH = ("in_sample", "out_of_sample")


@dataclass(frozen=True)
class ChosenStrategy:
    """One strategy. `found` counts the runs and rounds that chose it.

    `artifacts` is the folder of its files, None when a later run's files lie there now.
    """

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
    in_sample: StatedMetrics
    out_of_sample: StatedMetrics
    artifacts: str | None
    found: int = 1

    @property
    def name(self) -> str:
        """The path below the folder of results, as in `SOL/aggressive/best_sharpe`."""
        return "/".join((self.symbol, self.mode, self.strategies[0]))

    @property
    def identity(self) -> str:
        """A text that is equal for the same strategy on the same bars."""
        windows = [getattr(self, window).as_json() for window in _BOTH]
        return json.dumps([self.symbol, self.mode, self.parameters, *windows], sort_keys=True)

    def as_json(self) -> dict[str, Any]:
        """Return the strategy as `results --all --json` prints it."""
        return {**asdict(self), **{window: getattr(self, window).as_json() for window in _BOTH}}


def collected(roots: Roots) -> list[ChosenStrategy]:
    """Return every strategy on file, the newest first: from the runs' records, and from trees whose run is removed."""
    trees = [tree for tree in results.trees(roots.optimizations) if _is_ours(tree)]
    # A result tree holds the files of the last run that was published there; earlier runs have only their records.
    owners = {_key(tree.manifest, tree.manifest["execution"]): tree.folder for tree in trees}
    found: list[ChosenStrategy] = []
    known = set()
    for outcome in _outcomes(roots):
        key = _key(outcome, outcome)
        known.add(key)
        found += _strategies(outcome, outcome.get("bests"), owners.get(key))
    for tree in trees:
        execution = tree.manifest["execution"]
        if _key(tree.manifest, execution) not in known:
            bests = {best: _best(tree, best) for best in BESTS}
            found += _strategies({**tree.manifest, **execution}, bests, tree.folder)
    found.sort(key=lambda one: (one.run_id, one.round), reverse=True)
    return _once(found)


def ranked(strategies: Iterable[ChosenStrategy], by: str = "out_of_sample") -> list[ChosenStrategy]:
    """Sort by standing, then by one of `SORTS`; undefined values come last."""
    sign, window, metric = SORTS[by]

    def key(one: ChosenStrategy) -> tuple[int, bool, float]:
        measure = getattr(getattr(one, window), metric)
        return STANDINGS.index(one.standing), measure is None, 0.0 if measure is None else sign * measure

    return sorted(strategies, key=key)


def _is_ours(tree: PublishedTree) -> bool:
    return _is_labelled(tree.manifest, tree.manifest.get("execution"))


def _is_labelled(labels: dict[str, Any], run: Any) -> bool:
    """Whether a record names its unit, run and round in the right types; a damaged record must not hide all others."""
    if not isinstance(run, dict) or not isinstance(run.get("round"), int):
        return False
    return all(isinstance(word, str) for word in (labels.get("symbol"), labels.get("mode"), run.get("run_id")))


def _outcomes(roots: Roots) -> Iterator[dict[str, Any]]:
    """Yield the outcome of each unit of each round of each run."""
    for folder in roots.runs():
        for path in (folder.outcome, *sorted(folder.path.glob("round-*/*/*/outcome.json"))):
            record = snapshot.read_json(path)
            if isinstance(record, dict) and _is_labelled(record, record):
                yield record


def _key(labels: dict[str, Any], run: dict[str, Any]) -> tuple[Any, ...]:
    return labels.get("symbol"), labels.get("mode"), run.get("run_id"), run.get("round")


def _strategies(labels: dict[str, Any], bests: Any, tree: Path | None) -> list[ChosenStrategy]:
    """Return the strategies of one record; bests that are the same strategy become one. Damaged ones are skipped."""
    found = []
    for best, record in bests.items() if isinstance(bests, dict) else ():
        try:
            found.append(_strategy(labels, best, record, tree))
        except (KeyError, TypeError):
            continue
    return _once(found)


def _strategy(labels: dict[str, Any], best: str, record: dict[str, Any], tree: Path | None) -> ChosenStrategy:
    standing = STANDINGS[0 if record["promoted"] else 1 if record["candidate"] else 2]
    inside, outside = (StatedMetrics.of_json(record[window]) for window in _BOTH)
    if not isinstance(record["verdict"], str):
        raise TypeError(f"the verdict is {record['verdict']!r}")
    return ChosenStrategy(
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
        in_sample=inside,
        out_of_sample=outside,
        artifacts=None if tree is None else str(tree / best),
    )


def _best(tree: PublishedTree, best: str) -> dict[str, Any] | None:
    """Return one best of a result tree in the form of an outcome; None when a part of it is missing."""
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


def _once(strategies: Iterable[ChosenStrategy]) -> list[ChosenStrategy]:
    """Return each strategy once, in the place of its first occurrence, and count how often it was found."""
    seen: dict[str, ChosenStrategy] = {}
    for one in strategies:
        known = seen.get(one.identity)
        if known is None:
            seen[one.identity] = one
            continue
        same_run = (known.run_id, known.round) == (one.run_id, one.round)
        names = tuple(dict.fromkeys((*known.strategies, *one.strategies))) if same_run else known.strategies
        seen[one.identity] = replace(known, strategies=names, found=known.found + (0 if same_run else one.found))
    return list(seen.values())
