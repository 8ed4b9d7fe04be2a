"""The settings of the search: types, limits, and combinations of values that are refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from config.errors import Refused

SAMPLERS = ("auto", "tpe", "nsgaii", "random")
# Each measure that a search may optimize → 1 when more is better, -1 when less is better.
OBJECTIVES: Mapping[str, int] = {"sharpe_ratio": 1, "max_drawdown_pct": -1, "total_return": 1, "win_rate": 1}
JOURNAL, SQLITE, POSTGRESQL = "journal", "sqlite", "postgresql"


@dataclass(frozen=True)
class SearchSettings:
    """The Bayesian search (phase 1); `workflow_defaults.yaml` explains each value."""

    trials: int
    batch_trials: int
    seed_fraction: float
    processes: int
    folds: int
    instability_penalty: float
    prune: bool
    objectives: tuple[str, ...]
    sampler: str
    study_trials: int
    storage: str


SEARCH_LIMITS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("search", "trials"): (1, 100_000),
    ("search", "batch_trials"): (1, 4_096),
    ("search", "seed_fraction"): (0, 1),
    ("search", "processes"): (0, 1_024),
    ("search", "folds"): (1, 50),
    ("search", "instability_penalty"): (0, 100),
    ("search", "study_trials"): (1, 100_000),
}


def check(search: SearchSettings) -> None:
    """Refuse unknown names and values that exclude each other. A message never repeats a password."""
    for name in search.objectives:
        if name not in OBJECTIVES:
            raise Refused(f"search.objectives names {name!r}", f"some of: {', '.join(OBJECTIVES)}")
    if search.objectives[0] != "sharpe_ratio" or len(set(search.objectives)) < len(search.objectives):
        raise Refused(f"search.objectives is {list(search.objectives)}", "sharpe_ratio first, and each name once")
    if search.sampler not in SAMPLERS:
        raise Refused(f"search.sampler is {search.sampler!r}", f"one of: {', '.join(SAMPLERS)}")
    if search.prune and len(search.objectives) > 1:
        raise Refused(
            "search.prune with several objectives: no single objective tells whether a trial is hopeless",
            "set search.prune to false, or search.objectives to [sharpe_ratio]",
        )
    if search.prune and search.folds == 1:
        raise Refused(
            "search.prune with search.folds 1: there is no first fold to judge by",
            "set search.folds to 2 or more, or search.prune to false",
        )
    _check_storage(search.storage)


def _check_storage(storage: str) -> None:
    if storage in {JOURNAL, SQLITE}:
        return
    way_out = "one of: journal, sqlite, postgresql://USER@HOST/DATABASE"
    try:
        url = urlsplit(storage)
    except ValueError:
        raise Refused("search.storage is no URL", way_out) from None
    if url.scheme != POSTGRESQL:
        raise Refused(f"search.storage is of the kind {url.scheme or storage.partition(':')[0]!r}", way_out)
    if url.password is not None or "password" in url.query.lower():
        raise Refused(
            "search.storage holds a password, and settings are written into records",
            "leave it out of the URL: ~/.pgpass (mode 600) is where PostgreSQL's clients look for it",
        )
