"""`python -m WORKFLOW.recount.replay FOLDER DATA_PATH BEST …` trades bests again on the bars of their manifest.

DATA_PATH may be empty, and then means the file that the manifest names. The command prints one JSON object: best →
`done`, whether it was replayed; `line`, a sentence for people; and `wrong`, what is on file and does not follow from
trading these parameters on these bars.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config import settings as operator
from config.errors import Refused
from config.reading import Reading
from config.settings import Settings
from state.host import process
from WORKFLOW.data.bars import Bars
from WORKFLOW.engines import metrics
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.pipeline.run import split_of
from WORKFLOW.recount.files import Record, tree_of
from WORKFLOW.report import windows
from WORKFLOW.report.artifacts import equity_csv, trades_csv
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import family_of
from WORKFLOW.validation import check_all
from WORKFLOW.validity.benchmark import buy_and_hold
from WORKFLOW.validity.finalist import same_trades

_ELSEWHERE = "hooks/promotion.py FOLDER --data-path BARS"


@dataclass(frozen=True)
class Stage:
    """The bars of a tree and the settings with which it traded them."""

    folder: Path
    manifest: Record
    evaluator: Evaluator
    windows: dict[str, Window]
    split: int
    settings: Settings
    synthetic: bool

    @property
    def capital(self) -> float:
        """The equity at the start of each simulation, in currency."""
        return self.settings.costs.capital


def main(argv: list[str]) -> int:
    """Replay the bests `argv[2:]` of the tree `argv[0]` on the bars at `argv[1]`."""
    folder, bests = Path(argv[0]), argv[2:]
    try:
        manifest = tree_of(folder).manifest
        bars, settings = _bars(manifest, argv[1])
    except (Refused, KeyError, TypeError, ValueError) as error:
        why = error.reason if isinstance(error, Refused) else f"its manifest lacks {error}"
        line = f"not replayed: {why}; say where its bars lie: {_ELSEWHERE}"
        print(json.dumps({best: {"done": False, "line": line, "wrong": []} for best in bests}))
        return 0
    stage = _stage(folder, manifest, bars, settings)
    line = f"replayed on {len(bars):,} bars (sha256 {bars.sha256[:12]}…): trades, equity and figures are the same"
    found = {best: {"done": True, "line": line, "wrong": list(_differences(stage, best))} for best in bests}
    print(json.dumps(found))
    return 0


def _bars(manifest: Record, data_path: str) -> tuple[Bars, Settings]:
    """Return the bars that the manifest names, and its settings.

    Raises:
        Refused: there are no bars, or they are not the same bars.
        KeyError, TypeError, ValueError: the manifest is not one that a run writes.
    """
    data = manifest["data"]
    settings = _settings(manifest)
    path = Path(data_path or data["source"])
    reading = Reading(data.get("date_format"), data.get("timezone"))
    repaired, wicks = data["copies_dropped"] > 0, data["wicks_allowed"] is True
    outcome = check_all(settings, path, manifest["symbol"], repaired, wicks, reading)
    if outcome.bars is None:
        raise Refused(outcome.reasons[0].text if outcome.reasons else f"no bars at {path}", _ELSEWHERE)
    if outcome.bars.sha256 != data["sha256"]:
        sums = f"sha256 {outcome.bars.sha256[:12]}…, not {data['sha256'][:12]}…"
        raise Refused(f"the bars at {path} are others than those of the run ({sums})", _ELSEWHERE)
    return outcome.bars, settings


def _settings(manifest: Record) -> Settings:
    """Return the run's settings that decide its results; all other settings are the defaults."""
    shipped = operator.tree_of(operator.load({}))
    modes = {name: _mode(mode) for name, mode in manifest["config"]["modes"].items()}
    return operator.of_tree({**shipped, **manifest["config"], "modes": {**shipped["modes"], **modes}})


def _mode(record: Record) -> Record:
    """Write a mode as the settings file does: without its name, and with a choice as a plain list."""
    space = {name: one.get("values", one) for name, one in record["space"].items()}
    return {"family": record["family"], "space": space}


def _stage(folder: Path, manifest: Record, bars: Bars, settings: Settings) -> Stage:
    split = split_of(bars, settings.split.holdout_fraction)
    parts = {"in_sample": Window(0, split), "out_of_sample": Window(split, len(bars))}
    family = family_of(settings.mode(manifest["mode"]))
    evaluator = Evaluator(Market.of(bars), family, settings.costs, "native")
    return Stage(folder, manifest, evaluator, parts, split, settings, bars.synthetic)


def _differences(stage: Stage, best: str) -> Iterator[str]:
    """Yield what the files hold and trading the parameters again does not give.

    The fast engine must agree to the bit, and the reference engine must agree in each window.
    """
    of = stage.folder / best
    if stage.synthetic is not stage.manifest["synthetic"]:
        yield "run_manifest.json: synthetic"
    try:
        config, metric, validation = (
            json.loads((of / f"{name}.json").read_bytes()) for name in ("config", "metrics", "validation")
        )
        yield from _whole(stage, of, config["parameters"], metric)
        for name in stage.windows:
            yield from _window(stage, of, name, config["parameters"], metric, validation)
    except (OSError, LookupError, TypeError, ValueError) as error:
        yield f"it cannot be traded ({type(error).__name__}: {error})"


def _whole(stage: Stage, of: Path, parameters: Any, metric: Record) -> Iterator[str]:
    market, window = stage.evaluator.market, stage.evaluator.whole
    ledger = stage.evaluator.ledger(parameters, window)
    if trades_csv(ledger, market) != (of / "trades.csv").read_bytes():
        yield "trades.csv"
    if equity_csv(ledger, market, window, stage.split, stage.capital) != (of / "equity.csv").read_bytes():
        yield "equity.csv"
    if metrics.full(ledger, market, window, stage.capital).as_json() != metric["full"]:
        yield "metrics.json: full"


def _window(stage: Stage, of: Path, name: str, parameters: Any, metric: Record, validation: Record) -> Iterator[str]:
    market, window = stage.evaluator.market, stage.windows[name]
    ledger = stage.evaluator.ledger(parameters, window)
    if metrics.full(ledger, market, window, stage.capital).as_json() != metric[name]:
        yield f"metrics.json: {name}"
    apart = of / "windows.json"
    if apart.exists() and json.loads(apart.read_bytes())[name] != windows.record(ledger, market, window):
        yield f"windows.json: {name}"
    if asdict(buy_and_hold(market, window, stage.settings.costs)) != validation["buy_and_hold"][name]:
        yield f"validation.json: buy_and_hold of {name}"
    if not same_trades(ledger, stage.evaluator.reference_ledger(parameters, window)):
        yield f"engines.agree: the reference engine trades {name} differently"


if __name__ == "__main__":
    process.begin()
    sys.exit(main(sys.argv[1:]))
