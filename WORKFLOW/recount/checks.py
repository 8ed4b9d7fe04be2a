"""Judge the checks of one best again from its figures, and find every place where its files contradict each other.

Figures that follow by additions, multiplications and roots must be equal to the bit, because they are the same on every
machine. Figures that also go through powers and logarithms of the system's library (`NEAR`) may differ in the last
digits on another machine, and must agree to nine digits.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np

from config import settings as operator
from config.settings import Settings
from hooks import promotion
from WORKFLOW.engines import metrics
from WORKFLOW.recount import figures
from WORKFLOW.recount.files import WINDOW_NAMES, Files, Record
from WORKFLOW.validity import verdict
from WORKFLOW.validity.chance import Chance
from WORKFLOW.validity.promote import of_all_runs
from WORKFLOW.validity.search import deflated
from WORKFLOW.validity.verdict import FinalistEvidence, WindowFigures

NEAR = frozenset(
    (
        *("beats_chance", "deflated_sharpe", "long_enough", "overfitting", "luck", "placebo"),
        *("deflated_sharpe_of_all_tries", "holdout_after_all_looks"),
    )
)
_DIGITS = 1e-9


def checks(one: Files) -> list[Record]:
    """Return every check, judged again.

    `ledger_whole` and `vectorbt_agrees` do not follow from figures on file, so they keep their value.
    """
    settings, history = _settings(one), _history(one)
    stated = {str(check["name"]): check for check in history["checks"]}
    inside, outside = (_returns(one, name) for name in WINDOW_NAMES)
    tries, looks = history["tries_of_all_runs"], history["looks_of_all_runs"]
    of_history = of_all_runs(inside, outside, _worth(one, tries), tries, looks, settings.verdict)
    first, last = (_by_value(stated[name]) for name in ("ledger_whole", "vectorbt_agrees"))
    return [*map(asdict, verdict.checks(_evidence(one), settings)), first, *map(asdict, of_history), last]


def contradictions(one: Files, found: list[Record]) -> Iterator[str]:
    """Yield each claim in the files of a best that its figures or its other files contradict; a real run has none."""
    yield from _labels(one)
    yield from _figures(one)
    yield from _agreements(one)
    yield from _checks(one, found)


# the evidence ---------------------------------------------------------------------------------------------------------


def _evidence(one: Files) -> FinalistEvidence:
    validation, search = one.validation, one.search
    rolling = validation["walk_forward"]["process"]["rolling"]
    proof, tries = validation["look_ahead"], one.manifest["tries"]["total"]
    inside, outside = (WindowFigures.of_json(one.metrics[name]) for name in WINDOW_NAMES)
    worth, sharpe = _worth(one, tries), inside.sharpe_ratio
    return FinalistEvidence(
        in_sample=inside,
        out_of_sample=outside,
        walk_forward_sharpe=rolling["sharpe_ratio"],
        walk_forward_efficiency=rolling["efficiency"]["sharpe_ratio"],
        plateau=one.plateau["summary"]["share_of_half"],
        engines_agree=validation["engines"]["agree"] is True,
        looks_ahead=None if proof["proven"] is True and proof["first_difference"] is None else "it looks ahead",
        ruined=any(one.metrics[name]["ruined"] is not False for name in (*WINDOW_NAMES, "full")),
        synthetic=one.manifest["synthetic"] is not False,
        tries=tries,
        deflated_sharpe=None if worth is None else deflated.deflated_sharpe(_returns(one, "in_sample"), worth),
        min_backtest_years=None if worth is None or sharpe is None else deflated.min_backtest_years(sharpe, worth),
        overfitting=None if search["overfitting"] is None else search["overfitting"]["pbo"],
        luck=(search["superior_ability"] or {}).get("consistent"),
        placebo=_placebo(search["placebo"]),
        buy_and_hold_sharpe=validation["buy_and_hold"]["out_of_sample"]["sharpe_ratio"],
        allowed_wicks=validation["wicks"]["allowed"],
        sharpe_without_wicks=validation["wicks"]["out_of_sample"]["sharpe_ratio"],
    )


def _settings(one: Files) -> Settings:
    """Return the run's settings that decide a check; those that differ from the defaults are named with the verdict."""
    config = one.manifest["config"]
    least = {"min_trades": config["prescreen"]["min_trades"]}
    return operator.with_values(_shipped(), verdict=config["verdict"], prescreen=least)


@cache
def _shipped() -> Settings:
    """Return the default settings, read once, because reading them takes half of a recount."""
    return operator.load({})


def _history(one: Files) -> Record:
    found: Record = one.manifest["promotion"][one.best]
    return found


def _worth(one: Files, tries: int) -> float | None:
    """Return how many independent tries `tries` are worth, scaled up from those of `search.json`."""
    effective: float | None = one.search["effective_trials"]
    return None if effective is None else effective * max(1.0, tries / one.search["tried"])


def _returns(one: Files, window: str) -> Any:
    """Return the daily returns (d,) of a window; without `windows.json`, those of the continuous run on its days."""
    capital = _capital(one)
    if one.windows is not None:
        return metrics.daily_returns(one.windows[window].marks, capital)
    here = np.array([name == window for name in one.whole_windows])
    return metrics.daily_returns(one.whole.marks, capital)[here]


def _capital(one: Files) -> float:
    return float(one.manifest["config"]["costs"]["capital"])


def _placebo(record: Mapping[str, Any]) -> float | None:
    """Compute the p-value again, from the bests of the shuffled markets."""
    best, luck = record["best"], record["luck"]
    if best is None:
        return None
    as_good = sum(1 for one in luck if one is not None and one >= best)
    return (1 + as_good) / (1 + len(luck))


def _by_value(check: Mapping[str, Any]) -> Record:
    return {**check, "passed": check["value"] is True}


# what contradicts itself ----------------------------------------------------------------------------------------------


def _labels(one: Files) -> Iterator[str]:
    keys = ("symbol", "mode", "synthetic")
    wanted = {key: one.manifest[key] for key in keys}
    for name in ("search", "config", "metrics", "validation", "plateau"):
        record = getattr(one, name)
        yield from _unequal(f"{name}.json", "its labels", {key: record.get(key) for key in keys}, wanted)
    yield from _unequal("run_manifest.json", "data.synthetic", one.manifest["data"]["synthetic"], wanted["synthetic"])


def _figures(one: Files) -> Iterator[str]:
    validation, capital = one.validation, _capital(one)
    bars = {name: validation[name]["bars"] for name in WINDOW_NAMES}
    yield from figures.contradictions("full", one.whole, one.metrics["full"], sum(bars.values()), capital)
    for name, run in (one.windows or {}).items():
        yield from figures.contradictions(name, run, one.metrics[name], bars[name], capital)
        here = np.array([window == name for window in one.whole_windows])
        yield from _unequal("windows.json", f"the days of {name}", run.days.tolist(), one.whole.days[here].tolist())


def _agreements(one: Files) -> Iterator[str]:
    validation, metric, plateau = one.validation, one.metrics, one.plateau
    config, tries = one.manifest["config"], one.manifest["tries"]["total"]
    for name in WINDOW_NAMES:
        yield from _unequal("validation.json", f"{name}.metrics", validation[name]["metrics"], metric[name])
        span = {key: value for key, value in validation[name].items() if key != "metrics"}
        yield from _unequal("validation.json", name, span, one.manifest["windows"][name])
    yield from _unequal("validation.json", "verdict", validation["verdict"], metric["verdict"])
    yield from _unequal("validation.json", "plateau", validation["plateau"], plateau["summary"])
    yield from _unequal("plateau.json", "parameters", plateau["parameters"], one.config["parameters"])
    yield from _unequal("config.json", "costs", one.config["costs"], config["costs"])
    days = metric["in_sample"]["days"]
    by_chance = asdict(Chance.of(tries, days))
    yield from _apart("validation.json", "chance", [*validation["chance"].values()], [*by_chance.values()])
    yield from _apart("validation.json", "effective_trials", [validation["effective_trials"]], [_worth(one, tries)])
    yield from _apart("plateau.json", "sharpe_ratio", [plateau["sharpe_ratio"]], [metric["in_sample"]["sharpe_ratio"]])
    yield from _apart(
        "search.json", "placebo.p_value", [one.search["placebo"]["p_value"]], [_placebo(one.search["placebo"])]
    )
    yield from _walk_forward(validation["walk_forward"]["process"]["rolling"])
    for name in WINDOW_NAMES:
        without = validation["wicks"][name]
        if without["trades"] == 0:
            said, found = without["sharpe_ratio"], metric[name]["sharpe_ratio"]
            yield from _unequal("validation.json", f"wicks.{name}.sharpe_ratio", said, found)


def _walk_forward(rolling: Mapping[str, Any]) -> Iterator[str]:
    """Compute again which share of the training's Sharpe ratio was left, if every window was traded."""
    trained = [window["in_sample"]["sharpe_ratio"] for window in rolling["windows"] if window["in_sample"]]
    if len(trained) == len(rolling["windows"]) and rolling["sharpe_ratio"] is not None:
        mean = float(np.mean(trained))
        found = rolling["sharpe_ratio"] / mean if mean > 0 else None
        yield from _apart(
            "validation.json", "walk_forward efficiency", [rolling["efficiency"]["sharpe_ratio"]], [found]
        )


def _checks(one: Files, found: list[Record]) -> Iterator[str]:
    """Compare what is said of each check with the check judged again."""
    history = _history(one)
    own, of_runs = one.validation["checks"], history["checks"]
    yield from _unequal("the checks", "their names", [c["name"] for c in [*own, *of_runs]], [c["name"] for c in found])
    for said, is_so in zip([*own, *of_runs], found, strict=False):
        if one.windows is None and said["name"] == "holdout_after_all_looks":
            continue  # the continuous run may carry a position from one window into the next
        where = f"check {said['name']}"
        if said["name"] in NEAR:
            yield from _apart(where, "value and threshold", *([c["value"], c["threshold"]] for c in (said, is_so)))
        else:
            yield from _unequal(where, "value and threshold", *([c["value"], c["threshold"]] for c in (said, is_so)))
        yield from _unequal(where, "passed", said["passed"], is_so["passed"])
    passed = promotion.judge(found).passed
    yield from _unequal("run_manifest.json", "promotion: promoted", history["promoted"], passed)
    candidate = all(check["passed"] for check in found[: len(own)])
    yield from _unequal("validation.json", "candidate", one.validation["candidate"], candidate)


def _unequal(where: str, what: str, said: Any, found: Any) -> Iterator[str]:
    if said != found or isinstance(said, bool) != isinstance(found, bool):
        yield f"{where}: {what} is said to be {_short(said)}, it is {_short(found)}"


def _apart(where: str, what: str, said: list[Any], found: list[Any]) -> Iterator[str]:
    """Compare as `_unequal` does, for numbers whose last digits may differ on another machine."""
    near = all(
        a == b or (_is_number(a) and _is_number(b) and math.isclose(a, b, rel_tol=_DIGITS, abs_tol=1e-12))
        for a, b in zip(said, found, strict=True)
    )
    if not near:
        yield f"{where}: {what} is said to be {_short(said)}, it is {_short(found)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
