"""Settings that had another name once: what stands under an old name is read for ever (docs/adr/0034)."""

from collections.abc import Iterable, Mapping
from typing import Any

from config.errors import Refused
from config.record import dataclass

# Name in the section `swarm` before it had groups → its name there now.
SWARM: Mapping[str, str] = {
    "cadence_scale": "agents.cadence_scale",
    "cycle_deadline_s": "agents.cycle_deadline_s",
    "tmux_timeout_s": "agents.tmux_timeout_s",
    "gpu_timeout_s": "agents.gpu_timeout_s",
    "keeper_s": "agents.keeper_s",
    "advisers": "agents.advisers",
    "lanes": "lanes.count",
    "lane_cores": "lanes.cores",
    "lane_memory_mb": "lanes.memory_mb",
    "max_lanes_per_core": "lanes.max_per_core",
    "nice": "lanes.nice",
    "oom_score": "lanes.oom_score",
    "cpu_target_pct": "use.cpu_target_pct",
    "gpu_target_pct": "use.gpu_target_pct",
    "dead_band_pct": "use.dead_band_pct",
    "window_s": "use.window_s",
    "start_credit_s": "use.start_credit_s",
    "shard_combos": "jobs.shard_combos",
    "fill_combos": "jobs.fill_combos",
    "fill_volume": "jobs.fill_volume",
    "silent_after_s": "hang.after_s",
    "first_kernel_s": "hang.first_kernel_s",
    "prescreen_budget_s": "hang.prescreen_budget_s",
    "prescreen_least_s": "hang.prescreen_least_s",
    "prescreen_slow_times": "hang.prescreen_slow_times",
    "stop_grace_s": "hang.stop_grace_s",
    "upgrade_wait_s": "hang.upgrade_wait_s",
    "backoff_s": "blame.backoff_s",
    "backoff_max_s": "blame.backoff_max_s",
    "healthy_after_s": "blame.healthy_after_s",
    "max_deaths": "blame.max_deaths",
    "patience_s": "blame.patience_s",
    "keep_runs": "records.keep_runs",
    "keep_rounds": "records.keep_rounds",
    "keep_log_days": "records.keep_log_days",
    "log_mb": "records.log_mb",
    "record_mb": "records.journal_mb",
    "min_free_mb": "records.min_free_mb",
    "min_free_files": "records.min_free_files",
    "knowledge_folder": "records.knowledge_folder",
    "budget_hours": "budget.hours",
    "budget_dollars_per_day": "budget.dollars_per_day",
    "dollars_per_hour": "budget.dollars_per_hour",
}
_GROUPS = {name.partition(".")[0] for name in SWARM.values()}


@dataclass(frozen=True)
class SwarmValue:
    """A value of the section `swarm` as somebody has written it."""

    name: str  # in the section, as it is called now
    value: Any
    words: str  # the name that was written, and where
    new_words: str  # how the same is written now
    is_old: bool


def written(section: Mapping[Any, Any], where: str = "") -> tuple[SwarmValue, ...]:
    """The values of a section, or of a part of one; what has no name of ours keeps the one it has.

    `where`: the file or the variable that it stands in.
    """
    within = f" in {where}" if where else ""
    found: list[SwarmValue] = []
    for key, value in section.items():
        if isinstance(value, Mapping) and key in _GROUPS:
            full = [(f"{key}.{one}", inner) for one, inner in value.items()]
            found += [SwarmValue(name, inner, f"swarm.{name}{within}", f"swarm.{name}", False) for name, inner in full]
        else:
            name = SWARM.get(key, str(key))
            found.append(SwarmValue(name, value, f"swarm.{key}{within}", f"swarm.{name}", key in SWARM))
    return tuple(found)


def agree(given: Iterable[SwarmValue]) -> None:
    """Refuse a value that stands there under its old and its new name, each time another."""
    first: dict[str, SwarmValue] = {}
    for one in given:
        other = first.setdefault(one.name, one)
        if other.is_old != one.is_old and other.value != one.value:
            old, new = (other, one) if other.is_old else (one, other)
            raise Refused(
                f"{old.words} is {old.value!r}, and {new.words} is {new.value!r}: both are the same setting",
                f"keep {new.new_words}, the name that it has now, and take the other out",
            )


def in_groups(section: Mapping[Any, Any]) -> dict[str, Any]:
    """The section with every value in its group, under the name it has now.

    Raises:
        Refused: a value stands there under its old and its new name, and they differ.
    """
    given = written(section)
    agree(given)
    groups: dict[str, Any] = {}
    for one in given:
        group, dot, key = one.name.partition(".")
        if not dot:
            groups[group] = one.value  # no group, and refused as none
        elif isinstance(there := groups.setdefault(group, {}), dict):
            there[key] = one.value
    return groups
