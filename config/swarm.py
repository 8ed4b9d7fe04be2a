"""The settings that agents need, in a module of their own: reading all settings would cost a cold cycle 10 ms.

Values, units and reasons stand in `workflow_defaults.yaml`; `config.settings` reads it.
"""

import re
from collections.abc import Mapping
from typing import Any

from config.errors import Refused
from config.record import dataclass, fields

_EXPONENT = re.compile(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+")
Limits = Mapping[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True)
class SwarmSettings:
    """The control plane.

    Names that end in `_s` are seconds. An agent cycles every `cadence_scale` times its own cadence.
    """

    cadence_scale: float
    lanes: int
    lane_cores: int
    lane_memory_mb: int
    shard_combos: int
    silent_after_s: float
    first_kernel_s: float
    stop_grace_s: float
    backoff_s: float
    backoff_max_s: float
    healthy_after_s: float
    max_deaths: int
    patience_s: float
    min_free_mb: int
    min_free_files: int
    cpu_target_pct: float
    gpu_target_pct: float
    cycle_deadline_s: float
    tmux_timeout_s: float
    gpu_timeout_s: float
    window_s: float
    dead_band_pct: float
    start_credit_s: float
    max_lanes_per_core: float
    prescreen_budget_s: float
    prescreen_least_s: float
    prescreen_slow_times: float
    upgrade_wait_s: float
    fill_combos: int
    fill_volume: float
    nice: int
    oom_score: int
    keep_runs: int
    keep_rounds: int
    keep_log_days: float
    log_mb: int
    record_mb: int
    advisers: bool
    knowledge_folder: str
    budget_hours: float
    budget_dollars_per_day: float
    dollars_per_hour: float
    keeper_s: float


# Values outside these limits are refused: (section, key) -> (lowest, highest).
SWARM_LIMITS: Limits = {
    ("swarm", "cadence_scale"): (0.001, 100),
    ("swarm", "lanes"): (0, 1_024),
    ("swarm", "lane_cores"): (1, 1_024),
    ("swarm", "lane_memory_mb"): (50, 1_000_000),
    ("swarm", "shard_combos"): (16, 10_000_000),
    ("swarm", "silent_after_s"): (0.5, 86_400),
    ("swarm", "first_kernel_s"): (0.5, 86_400),
    ("swarm", "stop_grace_s"): (0, 3_600),
    ("swarm", "backoff_s"): (0, 3_600),
    ("swarm", "backoff_max_s"): (0, 86_400),
    ("swarm", "healthy_after_s"): (1, 86_400),
    ("swarm", "max_deaths"): (1, 1_000),
    ("swarm", "patience_s"): (0, 1_000_000),
    ("swarm", "min_free_mb"): (0, 10_000_000),
    ("swarm", "min_free_files"): (0, 10_000_000),
    ("swarm", "cpu_target_pct"): (0, 100),
    ("swarm", "gpu_target_pct"): (0, 100),
    ("swarm", "cycle_deadline_s"): (1, 3_600),
    ("swarm", "tmux_timeout_s"): (0.1, 600),
    ("swarm", "gpu_timeout_s"): (0.1, 600),
    ("swarm", "window_s"): (0.1, 86_400),
    ("swarm", "dead_band_pct"): (0, 50),
    ("swarm", "start_credit_s"): (0, 3_600),
    ("swarm", "max_lanes_per_core"): (0.01, 16),
    ("swarm", "prescreen_budget_s"): (1, 1_000_000),
    ("swarm", "prescreen_least_s"): (0.1, 1_000_000),
    ("swarm", "prescreen_slow_times"): (1.1, 1_000),
    ("swarm", "upgrade_wait_s"): (0, 86_400),
    ("swarm", "fill_combos"): (16, 10_000_000),
    ("swarm", "fill_volume"): (0, 100),
    ("swarm", "nice"): (0, 19),
    ("swarm", "oom_score"): (0, 1_000),
    ("swarm", "keep_runs"): (1, 100_000),
    ("swarm", "keep_rounds"): (2, 100_000),
    ("swarm", "keep_log_days"): (0.01, 36_500),
    ("swarm", "log_mb"): (1, 100_000),
    ("swarm", "record_mb"): (1, 10_000),
    ("swarm", "budget_hours"): (0, 1_000_000),
    ("swarm", "budget_dollars_per_day"): (0, 1_000_000),
    ("swarm", "dollars_per_hour"): (0, 100_000),
    ("swarm", "keeper_s"): (1, 86_400),
}


def of_section(tree: Any) -> SwarmSettings:
    """Check the section `swarm` of settings on file, and return its record.

    Raises:
        Refused: `tree` is no such section, or a version with other settings wrote it.
    """
    limits: SwarmSettings = checked("swarm", SwarmSettings, tree, SWARM_LIMITS)
    return limits


def checked(section: str, record: type[Any], tree: Any, limits: Limits) -> Any:
    """Check one section of the settings, and return its record.

    Raises:
        Refused: a key is missing or unknown, or a value has the wrong type or lies outside its limits.
    """
    hints = {field.name: field.type for field in fields(record)}
    if not isinstance(tree, Mapping) or set(tree) != set(hints):
        raise Refused(
            f"settings section {section!r} must hold exactly {', '.join(hints)}",
            _difference(set(tree) if isinstance(tree, Mapping) else set(), set(hints)),
        )
    return record(**{key: _value(section, key, hint, tree[key], limits) for key, hint in hints.items()})


def _difference(there: set[str], wanted: set[str]) -> str:
    """Say which keys to add and which to take out."""
    parts = [("add", wanted - there), ("take out", there - wanted)]
    said = "; ".join(f"{deed} {', '.join(sorted(map(str, names)))}" for deed, names in parts if names)
    return f"{said}, as config/workflow_defaults.yaml has it"


def _value(section: str, key: str, hint: Any, value: Any, limits: Limits) -> Any:
    name = f"{section}.{key}"
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
        return tuple(_value(section, key, float, one, limits) for one in value)
    if hint is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)  # YAML reads 1e-6 as a text
    if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
        raise Refused(f"{name} is {value!r}", f"it takes {'a whole number' if hint is int else 'a number'}")
    low, high = limits[section, key]
    if not low <= value <= high:
        raise Refused(f"{name} is {value!r}", f"it takes {_plain(low)} to {_plain(high)}")
    return hint(value)


def _plain(limit: float) -> str:
    """Write a limit as it can be typed: a thousands separator would turn the number into a text, and so would 1e-06."""
    return str(limit) if isinstance(limit, int) else f"{limit:.10f}".rstrip("0").rstrip(".")
