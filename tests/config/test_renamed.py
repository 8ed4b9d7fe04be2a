"""Settings that had another name before the section `swarm` had groups: the old name works for ever, in every place."""

import dataclasses
import json
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from config import settings
from config.errors import Refused
from config.renamed import SWARM
from config.settings import load, of_tree, renamed, tree_of, with_values
from config.swarm import SWARM_LIMITS, SwarmSettings, checked, in_groups, of_section

DEFAULT = load({})
NAMES = {
    f"{group.name}.{one.name}" for group in dataclasses.fields(SwarmSettings) for one in dataclasses.fields(group.type)
}
# The 43 keys as they stood in the file before there were groups; a key that is added later has no old name.
FLAT = json.loads(Path(__file__).with_name("swarm_without_groups.json").read_text(encoding="utf-8"))


def value_of(of: settings.Settings, name: str) -> Any:
    return attrgetter(f"swarm.{name}")(of)


def another(name: str) -> Any:
    """A value that is not the default and is within the limits."""
    value = value_of(DEFAULT, name)
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return "elsewhere"
    group, _, key = name.partition(".")
    low, high = SWARM_LIMITS[f"swarm.{group}", key]
    return type(value)(low if value != low else min(high, low + 1))


def old_variable(old: str) -> str:
    return f"BACKTEST_OPTIMIZE__SWARM__{old.upper()}"


def new_variable(name: str) -> str:
    return f"BACKTEST_OPTIMIZE__SWARM__{name.upper().replace('.', '__')}"


def with_added(section: dict[str, Any]) -> dict[str, Any]:
    """A section of before in its groups, and the default of each key that was added since."""
    groups: dict[str, Any] = in_groups(section)
    for name, values in in_their_groups({one: value_of(DEFAULT, one) for one in NAMES - set(SWARM.values())}).items():
        groups[name] |= values
    return groups


def own_file(folder: Path, tree: dict[str, Any]) -> dict[str, str]:
    path = folder / "mine.yaml"
    path.write_text(json.dumps({"swarm": tree}), encoding="utf-8")
    return {settings.OVERLAY_VARIABLE: str(path)}


def test_every_key_of_before_has_a_name_now_and_each_another() -> None:
    assert set(FLAT) == set(SWARM)
    assert set(SWARM.values()) <= NAMES
    assert len(set(SWARM.values())) == len(SWARM)


def in_their_groups(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        group, _, key = name.partition(".")
        groups.setdefault(group, {})[key] = value
    return groups


@pytest.mark.parametrize(("old", "name"), SWARM.items())
def test_an_old_name_sets_the_value_that_it_set(old: str, name: str) -> None:
    """In commands and on file; each changes that one value and no other."""
    value = another(name)
    wanted = with_values(DEFAULT, swarm=in_their_groups({name: value}))
    assert value_of(wanted, name) == value != value_of(DEFAULT, name)
    assert with_values(DEFAULT, swarm={old: value}) == wanted
    on_file = {**FLAT, old: value}
    assert of_section(with_added(on_file)) == wanted.swarm
    assert of_tree({**tree_of(DEFAULT), "swarm": on_file}) == wanted


def test_old_names_and_those_of_now_count_alike_in_variables_and_files(tmp_path: Path) -> None:
    values = {name: another(name) for name in SWARM.values()}
    wanted = with_values(DEFAULT, swarm=in_their_groups(values))
    before = {old: values[name] for old, name in SWARM.items()}
    assert load({old_variable(old): json.dumps(value) for old, value in before.items()}) == wanted
    assert load({"BACKTEST_OPTIMIZE__SWARM": json.dumps(before)}) == wanted
    assert load(own_file(tmp_path, before)) == wanted
    for of_now in (
        {new_variable(name): json.dumps(value) for name, value in values.items()},
        {"BACKTEST_OPTIMIZE__SWARM": json.dumps(in_their_groups(values))},
        own_file(tmp_path, in_their_groups(values)),
    ):
        assert load(of_now) == wanted
        assert renamed(of_now) == ()


def test_settings_on_file_that_a_version_without_groups_wrote_are_read_whole_and_in_part() -> None:
    assert of_section(with_added(FLAT)) == of_tree({**tree_of(DEFAULT), "swarm": FLAT}).swarm == DEFAULT.swarm
    fewer = {key: value for key, value in FLAT.items() if key not in ("keeper_s", "lanes")} | {"of_another_version": 1}
    assert (
        of_tree({**tree_of(DEFAULT), "swarm": {**fewer, "nice": 7}}).swarm
        == with_values(DEFAULT, swarm={"lanes": {"nice": 7}}).swarm
    )


def test_each_old_name_is_said_once_with_the_name_of_now(tmp_path: Path) -> None:
    given = own_file(tmp_path, {"nice": 7}) | {old_variable("silent_after_s"): "70", old_variable("lanes"): "2"}
    assert renamed(given) == (
        f"swarm.nice in {tmp_path}/mine.yaml is called swarm.lanes.nice now; the old name goes on working",
        "BACKTEST_OPTIMIZE__SWARM__LANES is called BACKTEST_OPTIMIZE__SWARM__LANES__COUNT now; "
        "the old name goes on working",
        "BACKTEST_OPTIMIZE__SWARM__SILENT_AFTER_S is called BACKTEST_OPTIMIZE__SWARM__HANG__AFTER_S now; "
        "the old name goes on working",
    )


def test_a_variable_wins_over_a_file_whatever_names_they_use(tmp_path: Path) -> None:
    of_before, of_now = own_file(tmp_path, {"nice": 7}), {new_variable("lanes.nice"): "9"}
    assert load(of_before | of_now).swarm.lanes.nice == 9
    assert load(own_file(tmp_path, {"lanes": {"nice": 7}}) | {old_variable("nice"): "9"}).swarm.lanes.nice == 9


@pytest.mark.parametrize(("old", "name"), [one for one in SWARM.items() if one[0] != "lanes"])
def test_two_values_under_two_names_are_refused_and_equal_ones_are_not(old: str, name: str) -> None:
    value, other = another(name), value_of(DEFAULT, name)
    both = {old: value, **in_their_groups({name: other})}
    with pytest.raises(Refused) as refusal:
        in_groups(both)
    assert refusal.value.reason == f"swarm.{old} is {value!r}, and swarm.{name} is {other!r}: both are the same setting"
    assert refusal.value.way_out == f"keep swarm.{name}, the name that it has now, and take the other out"
    assert in_groups(both | in_their_groups({name: value})) == in_their_groups({name: value})


@pytest.mark.parametrize("old", ["lanes", "silent_after_s"])
def test_two_variables_that_disagree_are_refused_and_the_way_out_works(old: str) -> None:
    of_before, of_now = old_variable(old), new_variable(SWARM[old])
    with pytest.raises(Refused) as refusal:
        load({of_before: "3", of_now: "7"})
    assert refusal.value.reason == f"{of_before} is 3, and {of_now} is 7: both are the same setting"
    assert refusal.value.way_out == f"keep {of_now}, the name that it has now, and take the other out"
    assert value_of(load({of_now: "7"}), SWARM[old]) == 7
    assert value_of(load({of_before: "7", of_now: "7"}), SWARM[old]) == 7


def test_a_file_that_disagrees_with_itself_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"swarm\.nice in .*mine\.yaml is 3, and swarm\.lanes\.nice in .*mine\.yaml is 7: "
    ):
        load(own_file(tmp_path, {"nice": 3, "lanes": {"nice": 7}}))


@pytest.mark.parametrize(
    ("typed", "value", "reason", "way_out"),
    [
        (
            "SILENT_AFTER_S",
            "many",
            "swarm.hang.after_s (BACKTEST_OPTIMIZE__SWARM__SILENT_AFTER_S) is 'many'",
            "a number",
        ),
        ("LANES", "-1", "swarm.lanes.count (BACKTEST_OPTIMIZE__SWARM__LANES) is -1", "it takes 0 to 1024"),
        ("NICE", "{a: 1}", "swarm.lanes.nice (BACKTEST_OPTIMIZE__SWARM__NICE) is {'a': 1}", "a whole number"),
        ("LANES__COUNT", "-1", "swarm.lanes.count is -1", "it takes 0 to 1024"),
        (
            "HANG__AFTR_S",
            "5",
            "unknown setting 'swarm.hang.aftr_s'",
            "did you mean swarm.hang.after_s? known here: after_s,",
        ),
        ("HANG__SILENT_AFTER_S", "5", "'swarm.hang.silent_after_s'", "did you mean swarm.hang.after_s? "),
        ("LANES__PATIENCE_S", "5", "'swarm.lanes.patience_s'", "did you mean swarm.blame.patience_s? "),
        ("SILENT_AFTER", "5", "'swarm.silent_after'", "did you mean swarm.hang.after_s? known here: agents, lanes,"),
        ("HOURS", "5", "'swarm.hours'", "did you mean swarm.budget.hours? "),
        ("HANG", "5", "settings section 'swarm.hang' must hold exactly after_s,", "add after_s,"),
        ("NO_SUCH", "{}", "unknown setting 'swarm.no_such'", "known here: agents, lanes,"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_of_now_and_the_one_that_was_written(
    typed: str, value: str, reason: str, way_out: str
) -> None:
    with pytest.raises(Refused) as refusal:
        load({f"BACKTEST_OPTIMIZE__SWARM__{typed}": value})
    assert reason in refusal.value.reason
    assert way_out in refusal.value.way_out


def test_a_name_near_to_none_is_not_guessed_at() -> None:
    with pytest.raises(Refused, match=r"→ known here: after_s"):
        load({"BACKTEST_OPTIMIZE__SWARM__HANG__COLOUR": "5"})


def test_what_is_in_groups_is_not_touched() -> None:
    """A cold cycle reads this, and then the table of old names is not even loaded."""
    tree = tree_of(DEFAULT)["swarm"]
    assert in_groups(tree) is tree


@pytest.mark.parametrize(
    ("section", "key", "table"),
    [
        ("swarm.lanes", "nice", "SWARM_LIMITS in config/swarm.py"),
        ("search", "trials", "SEARCH_LIMITS in config/search.py"),
        ("plateau", "steps", "LIMITS in config/settings.py"),
    ],
)
def test_a_number_that_was_added_without_limits_says_where_they_go(section: str, key: str, table: str) -> None:
    record = attrgetter(section)(DEFAULT)
    limits = {at: bounds for at, bounds in settings.LIMITS.items() if at != (section, key)}
    with pytest.raises(Refused) as refusal:
        checked(section, type(record), dataclasses.asdict(record), limits)
    assert refusal.value.reason == f"the setting {section}.{key} is a number without limits"
    assert refusal.value.way_out == f'add a line to {table}: ("{section}", "{key}"): (lowest, highest),'
