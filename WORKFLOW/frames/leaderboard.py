"""`results --all` as a DataFrame: every strategy that any run under RESULTS_ROOT has chosen, each once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from config.errors import Refused
from state.records.strategies import STANDINGS, ChosenStrategy, collected, ranked
from WORKFLOW.frames import tables
from WORKFLOW.frames.published import AS_IT_IS, Published, ours
from WORKFLOW.frames.result import WINDOWS, roots_of
from WORKFLOW.frames.tables import METRICS, TEXT, UTC, WHOLE, YES_NO, of_parameters, of_records

_STRATEGY = {
    "name": TEXT,
    "symbol": TEXT,
    "mode": TEXT,
    "strategies": TEXT,
    "standing": pd.CategoricalDtype(STANDINGS[::-1], ordered=True),
    "verdict": TEXT,
    "promotion": TEXT,
    "synthetic": YES_NO,
    "run_id": TEXT,
    "round": WHOLE,
    "found": WHOLE,
    "artifacts": TEXT,
}
_LISTED = 3


def results(root: str | Path | None = None, verify: bool = True) -> pd.DataFrame:
    """The leaderboard, in its order: promoted, candidates, the rest, in each the best out-of-sample Sharpe ratio first.

    Args:
        root: a RESULTS_ROOT; by default that of the environment, else `state/run` in the checkout.
        verify: refuse when the files of a strategy are not those in its `run_manifest.json`, or say other things than
            the record of its run; False takes the records as they are.

    Index: `rank`, from 1. `name` is what `result` takes; `strategies`: every best that it is; `standing`: ordered
    categories, promoted the highest; `started`: when its run began, UTC; `round` of the run, from 0; `found`: in how
    many rounds of runs it was chosen; `artifacts`: its folder, missing where a later run's files lie there (then only
    the record of its run speaks for it); `params_…`; `in_sample_…` and `out_of_sample_…`: the metrics of both windows.
    Whoever picks the best of many out-of-sample values picks luck as well.

    Raises:
        Refused: there is no result on file, or one was edited.
    """
    roots = roots_of(root)
    found = ranked(collected(roots))
    if not found:
        said = f"there is no result under {roots.results}"
        raise Refused(
            said, "run scripts/backtest-optimize --parallel, or name the root that has results: results(root)"
        )
    if verify:
        _refuse_edited(found)
    with ours(roots.results):  # of a strategy whose files are gone only the record of its run is left, unchecked
        return _table(found)


def _table(found: Sequence[ChosenStrategy]) -> pd.DataFrame:
    rows = [{**one.as_json(), "name": one.name, "strategies": ", ".join(one.strategies)} for one in found]
    strategies = of_records([{name: row[name] for name in _STRATEGY} for row in rows], _STRATEGY)
    started = pd.to_datetime(strategies["run_id"], format="bt-%Y%m%d_%H%M%SZ", utc=True, errors="coerce")
    strategies.insert(strategies.columns.get_loc("round"), "started", started.astype(UTC))
    windows = [of_records([getattr(one, name).as_json() for one in found], METRICS, f"{name}_") for name in WINDOWS]
    index = pd.RangeIndex(1, len(found) + 1, name="rank")
    return tables.side_by_side(strategies, *windows, of_parameters([one.parameters for one in found]), index=index)


def _refuse_edited(found: Sequence[ChosenStrategy]) -> None:
    wrong = [text for one in found if one.artifacts is not None for text in _wrong(one, Path(one.artifacts))]
    if wrong:
        more = f"; and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        raise Refused("; ".join(wrong[:_LISTED]) + more, AS_IT_IS)


def _wrong(one: ChosenStrategy, artifacts: Path) -> Iterator[str]:
    """What contradicts a row: files that are not the manifest's, or other numbers in them."""
    try:
        tree = Published.opened(artifacts.parent, verify=True)
        names = ("config.json", "metrics.json", "validation.json")
        config, metrics, validation = (tree.record(f"{artifacts.name}/{name}") for name in names)
    except Refused as refusal:
        yield refusal.reason
        return
    promoted = tree.manifest.get("promotion", {}).get(artifacts.name, {}).get("promoted")
    standing = STANDINGS[0 if promoted else 1 if validation.get("candidate") else 2]
    files = {**{name: metrics.get(name) for name in (*WINDOWS, "verdict")}, "parameters": config.get("parameters")}
    row = one.as_json()
    for name, value in {**files, "standing": standing}.items():
        if row[name] != value:
            yield f"the record of run {one.run_id} and the files in {artifacts} differ in {name}"
