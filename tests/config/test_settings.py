import dataclasses
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from config import layers, modes, settings
from config.errors import Refused
from config.modes import Choice, Range
from config.settings import Settings, load, with_values
from config.swarm import SwarmSettings

TREE: Mapping[str, Any] = yaml.safe_load(settings.DEFAULTS.read_text(encoding="utf-8"))
GROUPS = {f"swarm.{group}": body for group, body in TREE["swarm"].items()}
BODIES = {name: body for name, body in TREE.items() if name not in ("modes", "swarm")} | GROUPS


def overlay(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return {settings.OVERLAY_VARIABLE: str(path)}


def test_the_file_and_the_records_have_the_same_keys() -> None:
    assert list(TREE) == [f.name for f in dataclasses.fields(Settings)]
    assert list(TREE["swarm"]) == list(get_type_hints(SwarmSettings))
    records = get_type_hints(Settings)
    records |= {f"swarm.{group}": record for group, record in get_type_hints(SwarmSettings).items()}
    for section, body in BODIES.items():
        record = records[section]
        assert list(body) == list(get_type_hints(record)), (
            f"give {section} in workflow_defaults.yaml and {record.__name__} in {record.__module__} the same, in order"
        )


def test_every_number_has_limits_and_no_limit_is_left_over() -> None:
    values = {(section, key): value for section, body in BODIES.items() for key, value in body.items()}
    firsts = {where: value[0] if isinstance(value, list) else value for where, value in values.items()}
    numbers = {where for where, value in firsts.items() if not isinstance(value, str | bool)}
    assert numbers - set(settings.LIMITS) == set(), "add the limits of each to the table beside its record"
    assert set(settings.LIMITS) - numbers == set(), "the file holds no such numbers"


def test_every_line_with_a_value_says_its_unit_or_reason() -> None:
    body = settings.DEFAULTS.read_text(encoding="utf-8").partition("\nmodes:")[0]
    bare = [line for line in body.splitlines() if line.startswith("  ") and "#" not in line]
    assert bare == [], "say the unit or the reason of each after a #"


def test_the_defaults_load_and_are_within_their_limits() -> None:
    loaded = load({})
    for (section, key), (low, high) in settings.LIMITS.items():
        value = attrgetter(f"{section}.{key}")(loaded)
        assert all(low <= one <= high for one in (value if isinstance(value, tuple) else [value]))
    assert loaded.run.modes == ("aggressive",)
    assert set(loaded.run.modes) <= set(loaded.modes)


def test_ranges_hold_both_ends() -> None:
    space = load({}).mode("aggressive").space
    stop = space["stop_loss"]
    assert stop == Range(0.005, 0.05, 0.0001)
    assert isinstance(stop, Range)
    assert (stop.size, stop.is_integer) == (451, False)
    period = space["fast_period"]
    assert isinstance(period, Range)
    assert (period.size, period.is_integer) == (48, True)
    assert space["direction"] == Choice(("both",))


def test_a_file_lies_over_the_defaults_and_a_variable_over_the_file(tmp_path: Path) -> None:
    environment = overlay(tmp_path, "search: {trials: 50, batch_trials: 8}\ncosts: {capital: 500}")
    loaded = load(
        environment | {"BACKTEST_OPTIMIZE__SEARCH__TRIALS": "60", "BACKTEST_OPTIMIZE__RUN__MODES": "[balanced]"}
    )
    assert (loaded.search.trials, loaded.search.batch_trials, loaded.costs.capital) == (60, 8, 500.0)
    assert loaded.run.modes == ("balanced",)
    assert loaded.prescreen == load({}).prescreen


def test_a_file_may_add_a_mode_and_replace_a_dimension(tmp_path: Path) -> None:
    text = """
modes:
  mine: {family: mtf_ema, space: {x: [1]}}
  aggressive: {space: {fast_period: [5, 9]}}
"""
    loaded = load(overlay(tmp_path, text))
    assert loaded.mode("mine").space == {"x": Choice((1,))}
    assert loaded.mode("aggressive").space["fast_period"] == Choice((5, 9))
    assert loaded.mode("aggressive").space["max_bars"] == Choice((0, 2016))


def test_flags_replace_values_and_are_checked_alike() -> None:
    changed = with_values(load({}), search={"trials": 5}, run={"seed": 1})
    assert (changed.search.trials, changed.run.seed, changed.search.batch_trials) == (5, 1, 16)
    with pytest.raises(Refused, match=r"search.trials is 0\n  → it takes 1 to 100000"):
        with_values(load({}), search={"trials": 0})


@pytest.mark.parametrize(
    ("text", "value", "way_out"),
    [
        ("search: {trails: 5}", "'search.trails'", "trials"),
        ("serach: {trials: 5}", "'serach'", "search"),
        ("search: {trials: 0}", "search.trials is 0", "1 to"),
        ("search: {trials: 1.5}", "search.trials is 1.5", "whole number"),
        ("search: {trials: many}", "search.trials is 'many'", "whole number"),
        ("search: {trials: true}", "search.trials is True", "whole number"),
        ("search: {seed_fraction: .nan}", "search.seed_fraction is nan", "0 to 1"),
        ("costs: {capital: .inf}", "costs.capital is inf", "to 1000000000000000"),
        ("costs: {fee_rate: -0.1}", "costs.fee_rate is -0.1", "0 to 0.1"),
        ("search: 5", "'search'", "must hold exactly trials"),
        ("run: {modes: fast}", "run.modes is 'fast'", "list of names"),
        ("run: {modes: []}", "run.modes is []", "list of names"),
        ("run: {modes: [fast]}", "'fast'", "aggressive"),
        ("monte_carlo: {noise_bps: 5}", "monte_carlo.noise_bps is 5", "list of numbers"),
        ("monte_carlo: {noise_bps: []}", "monte_carlo.noise_bps is []", "list of numbers"),
        ("monte_carlo: {noise_bps: [1, many]}", "monte_carlo.noise_bps is 'many'", "a number"),
        ("monte_carlo: {skip_probabilities: [0.1, 1.1]}", "monte_carlo.skip_probabilities is 1.1", "0 to 1"),
        ("modes:", "modes is None", "a family and a space"),
        ("modes: {aggressive: 3}", "'aggressive'", "family and space"),
        ("modes: {mine: {family: mtf_ema}}", "'mine'", "family and space"),
        ("modes: {aggressive: {space: {max_bars: []}}}", "max_bars is []", "list of values"),
        ("modes: {aggressive: {space: {max_bars: [.nan]}}}", "max_bars is [nan]", "list of values"),
        ("modes: {aggressive: {space: {max_bars: {low: 1, high: 5}}}}", "max_bars is {", "{low, high, step}"),
        ("modes: {aggressive: {space: {max_bars: {low: 5, high: 1, step: 1}}}}", "max_bars is {", "low <= high"),
        ("modes: {aggressive: {space: {max_bars: {low: 1, high: 5, step: 0}}}}", "max_bars is {", "step > 0"),
        ("modes: {aggressive: {space: {max_bars: {low: 0, high: 1, step: 0.3}}}}", "max_bars is {", "whole steps"),
        ("modes: {aggressive: {space: {max_bars: {low: 1, high: .inf, step: 1}}}}", "max_bars is {", "whole steps"),
        ("[1, 2]", "mine.yaml", "workflow_defaults.yaml"),
        ("a: [", "mine.yaml", "workflow_defaults.yaml"),
        ("", "mine.yaml", "workflow_defaults.yaml"),
    ],
)
def test_a_bad_value_is_refused_with_the_value_and_the_way_out(
    tmp_path: Path, text: str, value: str, way_out: str
) -> None:
    with pytest.raises(Refused) as refusal:
        load(overlay(tmp_path, text))
    assert value in str(refusal.value)
    assert way_out in str(refusal.value)


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("BACKTEST_OPTIMIZE__SEARCH__TRAILS", "5", "'search.trails' in BACKTEST_OPTIMIZE__SEARCH__TRAILS"),
        ("BACKTEST_OPTIMIZE__SEARCH__TRIALS", "[", "BACKTEST_OPTIMIZE__SEARCH__TRIALS is '['"),
        ("BACKTEST_OPTIMIZE__SEARCH__TRIALS", "", "search.trials is None"),
        ("BACKTEST_OPTIMIZE__SEARCH", "5", "'search' must hold exactly"),
        ("BACKTEST_OPTIMIZE__", "5", "unknown setting ''"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(variable: str, text: str, said: str) -> None:
    with pytest.raises(Refused) as refusal:
        load({variable: text})
    assert said in str(refusal.value)


@pytest.mark.parametrize("deep", ["[" * 200_000, "{a: " * 50_000], ids=["lists", "mappings"])
def test_what_is_nested_too_deep_is_refused_and_ends_no_process(tmp_path: Path, deep: str) -> None:
    with pytest.raises(Refused, match="are not YAML"):
        load(overlay(tmp_path, f"prescreen: {deep}"))
    with pytest.raises(Refused, match="which is not YAML"):
        load({f"{settings.VALUE_PREFIX}PRESCREEN__COMBOS": deep})


def test_the_fast_parser_reads_our_own_file_as_the_other_does() -> None:
    assert layers.read(settings.DEFAULTS) == TREE


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file or directory\n  → fix or unset BACKTEST_OPTIMIZE_CONFIG"):
        load({settings.OVERLAY_VARIABLE: str(tmp_path / "none.yaml")})


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Refused, match="unknown mode 'wild'\n  → one of: conservative, balanced, aggressive"):
        load({}).mode("wild")


@pytest.mark.parametrize("name", ["../x", "/abs", "a b", "x" * 41, "..", "a\nb"])
def test_a_mode_name_becomes_a_folder_and_may_not_leave_its_own(name: str) -> None:
    with pytest.raises(Refused, match="cannot name a mode"):
        modes.mode_of(name, {"family": "mtf_ema", "space": {}})
