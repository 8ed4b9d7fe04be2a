"""The settings that agents need, in a module of their own: reading all settings would cost a cold cycle 10 ms.

Values, units and reasons are in `workflow_defaults.yaml`; `config.layers` reads it.
"""

import re
from collections.abc import Mapping
from typing import Any

from config.errors import Refused
from config.record import dataclass, fields, is_dataclass

_EXPONENT = re.compile(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+")
Limits = Mapping[tuple[str, str], tuple[float, float]]
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class AgentSettings:
    """How often agents look (`cadence_scale` times their own cadence), and how long they wait for an answer."""

    cadence_scale: float
    cycle_deadline_s: float
    tmux_timeout_s: float
    gpu_timeout_s: float
    keeper_s: float
    advisers: bool


@dataclass(frozen=True)
class LaneSettings:
    """How many workers work side by side, and what one of them may take."""

    count: int
    cores: int
    memory_mb: int
    max_per_core: float
    nice: int
    oom_score: int


@dataclass(frozen=True)
class UseSettings:
    """How busy cores and GPUs should be, and when the number of lanes changes."""

    cpu_target_pct: float
    gpu_target_pct: float
    dead_band_pct: float
    window_s: float
    start_credit_s: float


@dataclass(frozen=True)
class JobSettings:
    """How large a job is."""

    shard_combos: int
    fill_combos: int
    fill_volume: float


@dataclass(frozen=True)
class HangSettings:
    """When a worker counts as hung, slow or outdated, and how it is ended."""

    after_s: float
    first_kernel_s: float
    prescreen_budget_s: float
    prescreen_least_s: float
    prescreen_slow_times: float
    stop_grace_s: float
    upgrade_wait_s: float


@dataclass(frozen=True)
class BlameSettings:
    """What follows the death of a worker, and for how long it is remembered."""

    backoff_s: float
    backoff_max_s: float
    healthy_after_s: float
    max_deaths: int
    patience_s: float


@dataclass(frozen=True)
class RecordSettings:
    """What is kept, for how long, and how much room must be left."""

    keep_runs: int
    keep_rounds: int
    keep_log_days: float
    log_mb: int
    journal_mb: int
    min_free_mb: int
    min_free_files: int
    knowledge_folder: str


@dataclass(frozen=True)
class BudgetSettings:
    """What a run may cost."""

    hours: float
    dollars_per_day: float
    dollars_per_hour: float


@dataclass(frozen=True)
class SwarmSettings:
    """The control plane, in groups (docs/adr/0034). `_s` are seconds."""

    agents: AgentSettings
    lanes: LaneSettings
    use: UseSettings
    jobs: JobSettings
    hang: HangSettings
    blame: BlameSettings
    records: RecordSettings
    budget: BudgetSettings


# Values outside these limits are refused: (section, key) -> (lowest, highest).
SWARM_LIMITS: Limits = {
    ("swarm.agents", "cadence_scale"): (0.001, 100),
    ("swarm.agents", "cycle_deadline_s"): (1, 3_600),
    ("swarm.agents", "tmux_timeout_s"): (0.1, 600),
    ("swarm.agents", "gpu_timeout_s"): (0.1, 600),
    ("swarm.agents", "keeper_s"): (1, 86_400),
    ("swarm.lanes", "count"): (0, 1_024),
    ("swarm.lanes", "cores"): (1, 1_024),
    ("swarm.lanes", "memory_mb"): (50, 1_000_000),
    ("swarm.lanes", "max_per_core"): (0.01, 16),
    ("swarm.lanes", "nice"): (0, 19),
    ("swarm.lanes", "oom_score"): (0, 1_000),
    ("swarm.use", "cpu_target_pct"): (0, 100),
    ("swarm.use", "gpu_target_pct"): (0, 100),
    ("swarm.use", "dead_band_pct"): (0, 50),
    ("swarm.use", "window_s"): (0.1, 86_400),
    ("swarm.use", "start_credit_s"): (0, 3_600),
    ("swarm.jobs", "shard_combos"): (16, 10_000_000),
    ("swarm.jobs", "fill_combos"): (16, 10_000_000),
    ("swarm.jobs", "fill_volume"): (0, 100),
    ("swarm.hang", "after_s"): (0.5, 86_400),
    ("swarm.hang", "first_kernel_s"): (0.5, 86_400),
    ("swarm.hang", "prescreen_budget_s"): (1, 1_000_000),
    ("swarm.hang", "prescreen_least_s"): (0.1, 1_000_000),
    ("swarm.hang", "prescreen_slow_times"): (1.1, 1_000),
    ("swarm.hang", "stop_grace_s"): (0, 3_600),
    ("swarm.hang", "upgrade_wait_s"): (0, 86_400),
    ("swarm.blame", "backoff_s"): (0, 3_600),
    ("swarm.blame", "backoff_max_s"): (0, 86_400),
    ("swarm.blame", "healthy_after_s"): (1, 86_400),
    ("swarm.blame", "max_deaths"): (1, 1_000),
    ("swarm.blame", "patience_s"): (0, 1_000_000),
    ("swarm.records", "keep_runs"): (1, 100_000),
    ("swarm.records", "keep_rounds"): (2, 100_000),
    ("swarm.records", "keep_log_days"): (0.01, 36_500),
    ("swarm.records", "log_mb"): (1, 100_000),
    ("swarm.records", "journal_mb"): (1, 10_000),
    ("swarm.records", "min_free_mb"): (0, 10_000_000),
    ("swarm.records", "min_free_files"): (0, 10_000_000),
    ("swarm.budget", "hours"): (0, 1_000_000),
    ("swarm.budget", "dollars_per_day"): (0, 1_000_000),
    ("swarm.budget", "dollars_per_hour"): (0, 100_000),
}


def of_section(tree: Any) -> SwarmSettings:
    """Check the section `swarm` of settings on file, which a version without groups may have written.

    Returns the record of the section.

    Raises:
        Refused: `tree` is no such section, or a version with other settings wrote it.
    """
    limits: SwarmSettings = checked("swarm", SwarmSettings, in_groups(tree), SWARM_LIMITS)
    return limits


def in_groups(tree: Any) -> Any:
    """Return the section `swarm` with its values in groups, also if a version without groups wrote it.

    Raises:
        Refused: a setting has different values under its old and its new name.
    """
    if not isinstance(tree, Mapping) or all(isinstance(value, Mapping) for value in tree.values()):
        return tree
    from config import renamed  # a cold cycle does not need it: what this version wrote is in groups

    return renamed.in_groups(tree)


def checked(section: str, record: type[Any], tree: Any, limits: Limits, written: Mapping[str, str] = NOTHING) -> Any:
    """Check one section of the settings, and return its record, groups included.

    `written` maps settings whose value stands under another name to that name and its place, for the words of a
    refusal.

    Raises:
        Refused: a key is missing or unknown, or a value has the wrong type or lies outside its limits.
    """
    hints = {field.name: field.type for field in fields(record)}
    if not isinstance(tree, Mapping) or set(tree) != set(hints):
        raise Refused(
            f"settings section {section!r} must hold exactly {', '.join(hints)}",
            _difference(set(tree) if isinstance(tree, Mapping) else set(), set(hints), record),
        )
    values: dict[str, Any] = {}
    for key, hint in hints.items():
        if isinstance(hint, type) and is_dataclass(hint):
            values[key] = checked(f"{section}.{key}", hint, tree[key], limits, written)
        else:
            values[key] = _value(section, key, hint, tree[key], limits, written)
    return record(**values)


def _difference(there: set[str], wanted: set[str], record: type[Any]) -> str:
    """Say which keys to add and which to take out; somebody who adds a setting may have forgotten its other half."""
    fields_of = f"{record.__name__} in {record.__module__.replace('.', '/')}.py"
    parts = [
        ("add", wanted - there, ", as config/workflow_defaults.yaml must have it"),
        ("take out", there - wanted, f", or make it a field of {fields_of}"),
    ]
    return "; ".join(f"{deed} {', '.join(sorted(map(str, names)))}{how}" for deed, names, how in parts if names)


def _value(section: str, key: str, hint: Any, value: Any, limits: Limits, written: Mapping[str, str]) -> Any:
    name = f"{section}.{key}"
    if name in written:
        name = f"{name} ({written[name]})"
    if hint == tuple[str, ...]:
        if not isinstance(value, list | tuple) or not value or not all(isinstance(x, str) for x in value):
            raise Refused(f"{name} is {value!r}", "it takes a list of names")
        return tuple(value)
    if hint is bool or hint is str:
        if not isinstance(value, hint):
            raise Refused(f"{name} is {value!r}", "it takes true or false" if hint is bool else "it takes a text")
        return value
    if hint == tuple[float, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise Refused(f"{name} is {value!r}", "it takes a list of numbers")
        return tuple(_value(section, key, float, one, limits, written) for one in value)
    if hint is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)  # YAML reads 1e-6 as a text
    if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
        raise Refused(f"{name} is {value!r}", f"it takes {'a whole number' if hint is int else 'a number'}")
    low, high = _limits(section, key, limits)
    if not low <= value <= high:
        raise Refused(f"{name} is {value!r}", f"it takes {_plain(low)} to {_plain(high)}")
    return hint(value)


def _limits(section: str, key: str, limits: Limits) -> tuple[float, float]:
    """Return the lowest and the highest value that is allowed.

    Raises:
        Refused: no limits are written down; whoever adds a setting that is a number adds its limits.
    """
    if (section, key) in limits:
        return limits[section, key]
    tables = {"swarm": "SWARM_LIMITS in config/swarm.py", "search": "SEARCH_LIMITS in config/search.py"}
    table = tables.get(section.partition(".")[0], "LIMITS in config/settings.py")
    raise Refused(
        f"the setting {section}.{key} is a number without limits",
        f'add a line to {table}: ("{section}", "{key}"): (lowest, highest),',
    )


def _plain(limit: float) -> str:
    """Write a limit as it can be typed: a thousands separator would turn the number into a text, and so would 1e-06."""
    return str(limit) if isinstance(limit, int) else f"{limit:.10f}".rstrip("0").rstrip(".")
