"""Every refusal has a way out, and the commands, flags and settings that it names exist."""

import re

import pytest

from config.settings import load
from state.files.layout import CHECKOUT
from tests.ways_out import parsers, texts
from tests.ways_out.texts import COMMAND, FLAG, SETTING, WayOut

EVERY = texts.every()
WORDED = [one for one in EVERY if one.texts]
_ALL = ("--single", "--parallel", *parsers._ENTRIES, *(name for name in parsers.commands() if name != "cycle"))


def test_the_harness_sees_them() -> None:
    """The harness finds refusals at all: if it found none, all other tests here would pass."""
    assert len(WORDED) > 250
    assert {"WORKFLOW.data", "scripts.swarm", "config.settings"} <= {
        prefix for one in WORDED for prefix in (one.module, ".".join(one.module.split(".")[:2]))
    }
    assert any("--engine native" in text for one in WORDED for text in one.texts)
    assert "--data-path" in parsers.options("--single")


def test_every_refusal_has_a_way_out() -> None:
    assert [str(one) for one in EVERY if one.is_missing] == []


@pytest.mark.parametrize("one", WORDED, ids=str)
def test_a_way_out_names_only_what_there_is(one: WayOut) -> None:
    wrong = [
        problem for text in one.texts for problem in (*_commands(text), *_flags(one.module, text), *_settings(text))
    ]
    assert wrong == [], one.texts


def _commands(text: str) -> list[str]:
    """Commands of the checkout that are no files, no commands of theirs, or do not take the flags behind them."""
    wrong = []
    for path, rest in COMMAND.findall(text):
        if not (CHECKOUT / path).is_file():
            wrong.append(f"{path} is no file")
            continue
        words = rest.split()
        name = path
        if path == "scripts/backtest-optimize" and words:
            name = words.pop(0)
        if name not in parsers._ENTRIES and name not in parsers.commands():
            if path == "scripts/backtest-optimize":
                wrong.append(f"{path} has no command {name}")
            continue
        known = parsers.options(name)
        wrong += [f"{name} does not take {word}" for word in words if word.startswith("--") and word not in known]
    return wrong


def _flags(module: str, text: str) -> list[str]:
    """Flags that a command which says this does not take, and values that they do not take."""
    wrong = []
    for flag, value in FLAG.findall(COMMAND.sub(" ", texts.without_foreign(text))):
        if flag in ("--single", "--parallel", "--help"):
            continue
        readers = parsers.audience(module)
        known = {name: parsers.options(name) for name in (readers or _ALL)}
        without = [name for name, options in known.items() if flag not in options]
        if readers and without:
            wrong.append(f"{', '.join(without)} does not take {flag}")
        elif len(without) == len(known):
            wrong.append(f"no command takes {flag}")
        for options in known.values():
            choices = options[flag].choices if flag in options else None
            if choices and re.fullmatch(r"[a-z_]+", value) and value not in choices:
                wrong.append(f"{flag} does not take {value}")
    return wrong


def _settings(text: str) -> list[str]:
    """Settings that are none, in the form of the environment."""
    settings = load({})
    found = []
    for section, key in SETTING.findall(text):
        record = getattr(settings, section.lower(), None)
        if not hasattr(record, key.lower()):
            found.append(f"there is no setting {section.lower()}.{key.lower()}")
    return found


@pytest.mark.parametrize("path", sorted(set(texts.sources())), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_command_that_any_text_of_the_product_names_is_one(path: object) -> None:
    """Not only refusals advise: remedies, hints and next steps do, too."""
    import ast
    from pathlib import Path

    assert isinstance(path, Path)
    strings = [
        node.value
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "scripts/backtest-optimize " in node.value
    ]
    wrong = []
    for text in strings:
        for word, after in re.findall(r"scripts/backtest-optimize +([a-z-]+)((?: +--[a-z0-9-]+)*)", text):
            if word not in parsers.commands() and word not in ("--single", "--parallel", "--help", "--version"):
                wrong.append(word)
                continue
            known = parsers.options(word) if word not in ("--help", "--version") else {}
            wrong += [f"{word} {flag}" for flag in after.split() if flag not in known]
    assert wrong == []
