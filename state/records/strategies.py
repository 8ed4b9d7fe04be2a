"""Every strategy that any run on file has chosen, each once: what `results --all` and `frames.results` show."""

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

# What to sort by → which way is better, the window and the metric.
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
    in_sample: StatedMetrics
    out_of_sample: StatedMetrics
    artifacts: str | None
    found: int = 1

    @property
    def name(self) -> str:
        """`SOL/aggressive/best_sharpe`, the path below the results."""
        return "/".join((self.symbol, self.mode, self.strategies[0]))

    @property
    def identity(self) -> str:
        """The same for the same strategy on the same bars."""
        windows = [getattr(self, window).as_json() for window in _BOTH]
        return json.dumps([self.symbol, self.mode, self.parameters, *windows], sort_keys=True)

    def as_json(self) -> dict[str, Any]:
        """For `results --all --json`."""
        return {**asdict(self), **{window: getattr(self, window).as_json() for window in _BOTH}}


def collected(roots: Roots) -> list[ChosenStrategy]:
    """Every strategy on file, newest first: of the runs' own records, and of result trees whose run is forgotten."""
    trees = [tree for tree in results.trees(roots.optimizations) if _is_ours(tree)]
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
    """By standing, then by one of `SORTS`, undefined last."""
    sign, window, metric = SORTS[by]

    def key(one: ChosenStrategy) -> tuple[int, bool, float]:
        measure = getattr(getattr(one, window), metric)
        return STANDINGS.index(one.standing), measure is None, 0.0 if measure is None else sign * measure

    return sorted(strategies, key=key)


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


def _strategies(labels: dict[str, Any], bests: Any, tree: Path | None) -> list[ChosenStrategy]:
    """Of one record; bests that are one strategy are one here. What is no record of ours is passed over."""
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


def _once(strategies: Iterable[ChosenStrategy]) -> list[ChosenStrategy]:
    """Each strategy once, where it was found first, with how often; whose files are there wins."""
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
