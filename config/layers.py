"""Read the sources of the settings; this is the only place that reads YAML. Later sources win over earlier ones.

The sources are the defaults, the file named by `BACKTEST_OPTIMIZE_CONFIG`, then the variables
`BACKTEST_OPTIMIZE__SECTION__KEY`. The settings of the section `swarm` lie in groups, so that their variables are
`BACKTEST_OPTIMIZE__SWARM__GROUP__KEY`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import plain, renamed
from config.errors import Refused
from config.record import replace
from config.renamed import SwarmValue
from config.trust import refuse_open

DEFAULTS = Path(__file__).with_name("workflow_defaults.yaml")
OVERLAY_VARIABLE = "BACKTEST_OPTIMIZE_CONFIG"
VALUE_PREFIX = "BACKTEST_OPTIMIZE__"
_NEAR = 0.75  # how alike two names are, from 0 to 1, for one to be what was meant


@dataclass(frozen=True)
class Laid:
    """All sources, laid one over the other."""

    tree: Mapping[str, Any]
    written: Mapping[str, str]  # a setting that was given under an old name → that name, and where it stands
    notes: tuple[str, ...]  # one line for each of these


def laid(environment: Mapping[str, str]) -> Laid:
    """Return the defaults with the file and the variables that `environment` names laid over them.

    Raises:
        Refused: a file cannot be read, a key is unknown, or one setting has two values under its old and its new name.
    """
    tree = read(DEFAULTS)
    given: list[SwarmValue] = []
    if overlay := environment.get(OVERLAY_VARIABLE):
        refuse_open(Path(overlay), f"{OVERLAY_VARIABLE}:")
        given += _lay([(overlay, read(Path(overlay)))], tree)
    variables = sorted((name, text) for name, text in environment.items() if name.startswith(VALUE_PREFIX))
    given += _lay([(name, _nested(name, text)) for name, text in variables], tree)
    last = {one.name: one for one in given}
    notes = [f"{one.words} is called {one.new_words} now; the old name goes on working" for one in given if one.is_old]
    return Laid(tree, {f"swarm.{name}": one.words for name, one in last.items() if one.is_old}, tuple(notes))


def _lay(sources: list[tuple[str, dict[str, Any]]], tree: dict[str, Any]) -> list[SwarmValue]:
    """Lay one file, or all variables, over `tree`; return the values that they give in the section `swarm`."""
    given: list[SwarmValue] = []
    for source, own in sources:
        if isinstance(section := own.get("swarm"), Mapping):
            given += _as_typed(source, renamed.written(section, source))
    renamed.agree(given)
    for source, own in sources:
        section = own.get("swarm")
        in_groups = {"swarm": renamed.in_groups(section)} if isinstance(section, Mapping) else {}
        _lay_over(tree, own | in_groups, source)
    return given


def _as_typed(source: str, given: Iterable[SwarmValue]) -> list[SwarmValue]:
    """Name a value that was given by a variable by that variable, and by the variable of its new name."""
    prefix = f"{VALUE_PREFIX}SWARM__"
    if not source.startswith(prefix):
        return list(given)
    return [replace(one, words=source, new_words=prefix + one.name.upper().replace(".", "__")) for one in given]


def read(path: Path) -> dict[str, Any]:
    """Return the sections of a file.

    Raises:
        Refused: the file cannot be read, or holds no sections.
    """
    import yaml  # takes 15 ms, so only code that reads settings pays for it

    try:
        tree = _parsed(plain.read_bytes(path).decode(), is_ours=path == DEFAULTS)
    except OSError as error:
        raise Refused(f"cannot read settings {path}: {error.strerror}", f"fix or unset {OVERLAY_VARIABLE}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"settings {path} are not YAML: {error}", "compare with config/workflow_defaults.yaml") from error
    if not isinstance(tree, dict):
        raise Refused(f"settings {path} hold no sections", "compare with config/workflow_defaults.yaml")
    return tree


def _parsed(text: str, is_ours: bool = False) -> Any:
    """Return the value of a YAML text.

    libyaml reads our own file in a tenth of the time, but dies of what is nested too deep; a text of others never
    reaches it.
    """
    import yaml

    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader) if is_ours else yaml.SafeLoader)


def _nested(variable: str, text: str) -> dict[str, Any]:
    import yaml

    path = variable.removeprefix(VALUE_PREFIX).lower().split("__")
    try:
        value = _parsed(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Refused(f"{variable} is {text!r}, which is not YAML: {error}", "write it as in a YAML file") from error
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def _lay_over(tree: dict[str, Any], overlay: Mapping[str, Any], source: str, at: str = "") -> None:
    for key, value in overlay.items():
        where = f"{at}{key}"
        is_new_mode = at == "modes."
        if key not in tree and not is_new_mode:
            known = f"known here: {', '.join(map(str, tree))}"
            raise Refused(f"unknown setting {where!r} in {source}", f"{_meant(where, at, tree)}{known}")
        replaces = at.endswith(".space.") or (is_new_mode and key not in tree)
        if isinstance(tree.get(key), dict) and isinstance(value, Mapping) and not replaces:
            _lay_over(tree[key], value, source, at=f"{where}.")
        else:
            tree[key] = value


def _meant(where: str, at: str, tree: Mapping[str, Any]) -> str:
    """Return the setting whose name is nearest to an unknown one, as a question; empty if none is near."""
    import difflib

    names = {f"{at}{key}": f"{at}{key}" for key in tree}
    if at.startswith("swarm."):
        key = where.removeprefix(at)
        for old, new in renamed.SWARM.items():
            if key in (old, new.partition(".")[2]):
                return f"did you mean swarm.{new}? "
            names |= {f"swarm.{old}": f"swarm.{new}", f"swarm.{new}": f"swarm.{new}"}
    near = difflib.get_close_matches(where, names, n=1, cutoff=_NEAR)
    return f"did you mean {names[near[0]]}? " if near else ""
