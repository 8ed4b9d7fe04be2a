"""The operator's settings as frozen records.

Values, units and reasons are in `workflow_defaults.yaml`; the records below give them types and limits, and
`config/layers.py` reads the sources.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from config import layers
from config.errors import Refused
from config.modes import Mode, mode_of
from config.search import SEARCH_LIMITS, SearchSettings, check
from config.swarm import NOTHING, SWARM_LIMITS, SwarmSettings, checked, in_groups, of_section

DEFAULTS, OVERLAY_VARIABLE, VALUE_PREFIX = layers.DEFAULTS, layers.OVERLAY_VARIABLE, layers.VALUE_PREFIX


@dataclass(frozen=True)
class RunSettings:
    """What a run does unless its command says otherwise."""

    modes: tuple[str, ...]
    seed: int
    stop_when_holdout_spent: bool


@dataclass(frozen=True)
class DataSettings:
    """What pre-flight validation accepts."""

    max_fill_bars: int
    min_days: int


@dataclass(frozen=True)
class ReadingSettings:
    """Limits on the files of one market; larger files are refused before memory is allocated for them."""

    max_rows: int
    max_file_mb: int
    max_read_s: int


@dataclass(frozen=True)
class Costs:
    """Trading costs and the capital at the start."""

    fee_rate: float
    slippage_bps: float
    capital: float


@dataclass(frozen=True)
class Split:
    """How the bars are divided in time into in-sample bars and the holdout."""

    holdout_fraction: float


@dataclass(frozen=True)
class PrescreenSettings:
    """The prescreen of random combos (phase 0)."""

    combos: int
    keep: int
    min_trades: int
    batch_combos: int


@dataclass(frozen=True)
class PlateauSettings:
    """How far around a finalist its neighbours are tried, and among how many trials the broadest plateau is sought."""

    candidates: int
    steps: int
    step_fraction: float
    max_neighbours: int


@dataclass(frozen=True)
class WalkForwardSettings:
    """Anchored and rolling walk-forward analysis."""

    windows: int
    train_to_test: int
    combos: int


@dataclass(frozen=True)
class CrossValidationSettings:
    """Combinatorial purged cross-validation of the selection rule."""

    folds: int
    test_folds: int
    embargo_share: float


@dataclass(frozen=True)
class MonteCarloSettings:
    """Monte Carlo paths that are resampled from a finalist's trades and days."""

    paths: int
    block_days: int
    skip_probabilities: tuple[float, ...]
    noise_bps: tuple[float, ...]


@dataclass(frozen=True)
class RegimeSettings:
    """How a day's market regime is named, from earlier days only."""

    trend_days: int
    trend_strength: float
    volatility_days: int
    median_days: int


@dataclass(frozen=True)
class ValiditySettings:
    """Tests of the whole search: bootstrap, probability of overfitting, and placebo markets."""

    draws: int
    blocks: int
    placebo_markets: int
    placebo_combos: int
    placebo_block_bars: int


@dataclass(frozen=True)
class VerdictSettings:
    """Thresholds that a strategy must pass before its verdict is `tradeable`."""

    chance_probability: float
    min_out_of_sample_sharpe: float
    max_drawdown_pct: float
    min_walk_forward_sharpe: float
    min_walk_forward_efficiency: float
    min_plateau: float
    min_deflated_sharpe: float
    max_overfitting: float
    max_luck: float
    max_placebo: float
    max_holdout_luck: float


@dataclass(frozen=True)
class Settings:
    """Everything an operator can set; one field per top-level key of the YAML file."""

    run: RunSettings
    data: DataSettings
    reading: ReadingSettings
    costs: Costs
    split: Split
    prescreen: PrescreenSettings
    search: SearchSettings
    plateau: PlateauSettings
    walk_forward: WalkForwardSettings
    cross_validation: CrossValidationSettings
    monte_carlo: MonteCarloSettings
    regimes: RegimeSettings
    validity: ValiditySettings
    verdict: VerdictSettings
    swarm: SwarmSettings
    modes: Mapping[str, Mode]

    def mode(self, name: str) -> Mode:
        """The mode called `name`; an unknown name is refused, and the message lists the known names."""
        if name not in self.modes:
            raise Refused(f"unknown mode {name!r}", f"one of: {', '.join(self.modes)}")
        return self.modes[name]


# Values outside these limits are refused: (section, key) -> (lowest, highest).
LIMITS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("run", "seed"): (0, 2**32 - 1),
    ("data", "max_fill_bars"): (0, 100_000),
    ("data", "min_days"): (1, 100_000),
    ("reading", "max_rows"): (1_000, 10_000_000_000),
    ("reading", "max_file_mb"): (1, 1_000_000),
    ("reading", "max_read_s"): (1, 86_400),
    ("costs", "fee_rate"): (0, 0.1),
    ("costs", "slippage_bps"): (0, 1_000),
    ("costs", "capital"): (1e-6, 1e15),
    ("split", "holdout_fraction"): (0.05, 0.9),
    ("prescreen", "combos"): (1, 10_000_000),
    ("prescreen", "keep"): (1, 500),
    ("prescreen", "min_trades"): (1, 1_000_000),
    ("prescreen", "batch_combos"): (16, 1_000_000),
    **SEARCH_LIMITS,
    ("plateau", "candidates"): (1, 1_000),
    ("plateau", "steps"): (1, 6),
    ("plateau", "step_fraction"): (1e-4, 0.5),
    ("plateau", "max_neighbours"): (16, 1_000_000),
    ("walk_forward", "windows"): (1, 100),
    ("walk_forward", "train_to_test"): (1, 50),
    ("walk_forward", "combos"): (1, 10_000_000),
    ("cross_validation", "folds"): (3, 100),
    ("cross_validation", "test_folds"): (2, 99),
    ("cross_validation", "embargo_share"): (0, 0.9),
    ("monte_carlo", "paths"): (1, 1_000_000),
    ("monte_carlo", "block_days"): (1, 3_650),
    ("monte_carlo", "skip_probabilities"): (0, 1),
    ("monte_carlo", "noise_bps"): (0, 1_000),
    ("regimes", "trend_days"): (1, 3_650),
    ("regimes", "trend_strength"): (0, 10),
    ("regimes", "volatility_days"): (1, 3_650),
    ("regimes", "median_days"): (30, 3_650),
    ("validity", "draws"): (19, 100_000),
    ("validity", "blocks"): (2, 20),
    ("validity", "placebo_markets"): (0, 10_000),
    ("validity", "placebo_combos"): (1, 250_000),
    ("validity", "placebo_block_bars"): (1, 288),
    ("verdict", "chance_probability"): (1e-9, 0.5),
    ("verdict", "min_out_of_sample_sharpe"): (-100, 100),
    ("verdict", "max_drawdown_pct"): (0, 1),
    ("verdict", "min_walk_forward_sharpe"): (-100, 100),
    ("verdict", "min_walk_forward_efficiency"): (-100, 100),
    ("verdict", "min_plateau"): (0, 1),
    ("verdict", "min_deflated_sharpe"): (0.5, 1),
    ("verdict", "max_overfitting"): (0, 0.5),
    ("verdict", "max_luck"): (0, 0.5),
    ("verdict", "max_placebo"): (0, 0.5),
    ("verdict", "max_holdout_luck"): (0, 0.5),
    **SWARM_LIMITS,
}


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the defaults, then apply the user's file and variables that `environment` names (None: `os.environ`).

    Raises:
        Refused: a file cannot be read, a key is unknown, a value has the wrong type or lies outside its limits, or one
            setting has two values under its old and its new name.
    """
    laid = layers.laid(os.environ if environment is None else environment)
    return _settings(laid.tree, laid.written)


def renamed(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return a line for each value that the environment gives under an old name: it counts, and has this new name.

    The lines are for people who type a command that begins something. Agents and workers never print them.

    Raises:
        Refused: as `load` refuses before it checks any value.
    """
    return layers.laid(os.environ if environment is None else environment).notes


def with_values(settings: Settings, **sections: Mapping[str, Any]) -> Settings:
    """Return a copy in which some values are replaced, as a command's flags do. New values pass the same checks."""
    changed = {}
    for section, values in sections.items():
        record = getattr(settings, section)
        given = in_groups(values) if section == "swarm" else values
        changed[section] = checked(section, type(record), _merged(_shallow(record), given), LIMITS)
    if "search" in changed:
        check(changed["search"])
    return Settings(**{f.name: changed.get(f.name, getattr(settings, f.name)) for f in fields(settings)})


def _shallow(record: Any) -> dict[str, Any]:
    """Return a section as a tree, with its values unchanged."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {key: _shallow(value) if is_dataclass(value) else value for key, value in values.items()}


def _merged(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tree` with `values` in it; values of a group that are not given stay."""
    both = {
        key: value for key, value in values.items() if isinstance(value, Mapping) and isinstance(tree.get(key), dict)
    }
    return {**tree, **values, **{key: _merged(tree[key], value) for key, value in both.items()}}


def tree_of(settings: Settings) -> dict[str, Any]:
    """Return `settings` as plain JSON, laid out as in the YAML file; `of_tree` reads it back."""
    tree = asdict(settings)
    tree["run"]["modes"] = list(settings.run.modes)
    tree["search"]["objectives"] = list(settings.search.objectives)
    for key in ("skip_probabilities", "noise_bps"):
        tree["monte_carlo"][key] = list(tree["monte_carlo"][key])
    for mode in tree["modes"].values():
        mode.pop("name")
        mode["space"] = {key: list(body["values"]) if "values" in body else body for key, body in mode["space"].items()}
    return tree


def of_tree(tree: Mapping[str, Any]) -> Settings:
    """Return the settings that `tree_of` wrote; they pass the same checks as a file.

    A tree that another version of the product wrote is read, too: a setting that the tree lacks takes its default, a
    setting that this version does not know is left out, and a setting that had another name then is read by that name.

    Raises:
        Refused: a value has the wrong type or lies outside its limits.
    """
    tree = {**tree, "swarm": in_groups(tree.get("swarm"))}
    hints = {name: hint for name, hint in get_type_hints(Settings).items() if name != "modes"}
    if "modes" in tree and all(_has_all(hint, tree.get(name)) for name, hint in hints.items()):
        return _settings(tree)
    defaults = layers.read(DEFAULTS)
    laid = {name: _filled(hint, tree.get(name), defaults[name]) for name, hint in hints.items()}
    return _settings(laid | {"modes": tree.get("modes", defaults["modes"])})


def swarm_defaults() -> SwarmSettings:
    """Return the section `swarm` of the defaults without loading a YAML library (25 ms).

    Groups are indented by two spaces, and each of their lines reads `key: value   # reason`, indented by four.
    """
    import json

    section = DEFAULTS.read_text(encoding="utf-8").partition("\nswarm:\n")[2]
    values: dict[str, dict[str, Any]] = {}
    group: dict[str, Any] = {}
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        name, colon, rest = line.partition("#")[0].strip().partition(":")
        if colon and not line.startswith("    "):
            group = values.setdefault(name, {})
        elif colon:
            group[name] = json.loads(rest)
    return of_section(values)


def _has_all(kind: Any, section: Any) -> bool:
    """Return whether a section holds all of its settings and nothing else."""
    if not isinstance(section, Mapping):
        return False
    groups = {f.name: f.type for f in fields(kind) if is_dataclass(f.type)}
    return set(section) == {f.name for f in fields(kind)} and all(_has_all(groups[one], section[one]) for one in groups)


def _filled(kind: Any, section: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section with its known settings, and the defaults for all others."""
    there = section if isinstance(section, Mapping) else {}
    return {
        f.name: _filled(f.type, there.get(f.name), defaults[f.name])
        if is_dataclass(f.type)
        else there.get(f.name, defaults[f.name])
        for f in fields(kind)
    }


def _settings(tree: Mapping[str, Any], written: Mapping[str, str] = NOTHING) -> Settings:
    hints = get_type_hints(Settings)
    if not isinstance(tree["modes"], Mapping):
        raise Refused(f"modes is {tree['modes']!r}", "it takes names, each with a family and a space")
    modes = {str(name): mode_of(str(name), body) for name, body in tree["modes"].items()}
    sections = {
        name: checked(name, hint, tree[name], LIMITS, written) for name, hint in hints.items() if name != "modes"
    }
    check(sections["search"])
    for name in sections["run"].modes:
        if name not in modes:
            raise Refused(f"run.modes names the unknown mode {name!r}", f"one of: {', '.join(modes)}")
    return Settings(modes=modes, **sections)
