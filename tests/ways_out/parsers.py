"""The real parsers of the product's commands, taken at the moment in which they would read what was typed."""

import argparse
import importlib
import importlib.machinery
import importlib.util
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from state.files.layout import CHECKOUT


class _Caught(BaseException):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def _carry_out(self: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
    raise _Caught(self)


def caught(main: Callable[[], object]) -> argparse.ArgumentParser:
    """The parser with which a command would begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", _carry_out)
        patch.setattr(argparse.ArgumentParser, "parse_known_args", _carry_out)
        try:
            main()
        except _Caught as found:
            return found.parser
    raise AssertionError("this command parses nothing")


def _script(name: str) -> ModuleType:
    path = CHECKOUT / "scripts" / name
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@cache
def commands() -> dict[str, tuple[str, str]]:
    """The commands of scripts/backtest-optimize: where each begins."""
    known: dict[str, tuple[str, str]] = _script("backtest-optimize").COMMANDS
    return known


@cache
def of(command: str) -> argparse.ArgumentParser:
    """The parser of `--single`, `status`, `scripts/generate-tearsheet`, …

    Raises:
        KeyError: there is no such command.
    """
    return caught(_ENTRIES.get(command) or _of_swarm(command))


def _of_swarm(command: str) -> Callable[[], object]:
    module, function = commands()[command]
    return lambda: getattr(importlib.import_module(f"scripts.swarm.{module}"), function)([])


def _of(module: str, *arguments: Any) -> Callable[[], object]:
    return lambda: importlib.import_module(module).main([], *arguments)


_ENTRIES: dict[str, Callable[[], object]] = {
    "--single": _of("WORKFLOW.optimize_strategy"),
    "--parallel": lambda: importlib.import_module("scripts.swarm.parallel").main([]),
    "WORKFLOW/optimize_strategy.py": _of("WORKFLOW.optimize_strategy"),
    "WORKFLOW/validation.py": _of("WORKFLOW.validation"),
    "hooks/promotion.py": _of("hooks.promotion"),
    "hooks/hardware_capacity_watchdog.py": _of("hooks.hardware_capacity_watchdog"),
    "scripts/process_auditor.py": _of("scripts.process_auditor"),
    "scripts/infra/session_state_manager.py": _of("scripts.infra.session_state_manager"),
    "scripts/generate-tearsheet": _of("scripts.tearsheet.command", "generate-tearsheet", "either"),
    "scripts/tearsheet/generate_tearsheet.py": _of("scripts.tearsheet.command", "generate_tearsheet.py", "pct"),
    "scripts/tearsheet/strategy_tearsheet.py": _of("scripts.tearsheet.command", "strategy_tearsheet.py", "pnl"),
    "scripts/fetch-data": _of("scripts.fetch.command"),
    "scripts/crosscheck": _of("scripts.infra.crosschecks"),
    "scripts/prove-no-lookahead": _of("scripts.infra.look_ahead"),
    "scripts/check": _of("scripts.infra.checks"),
    "scripts/bench": _of("scripts.lab.command"),
    "scripts/bench prescreen": _of("scripts.lab.prescreen"),
    "scripts/bench search": _of("scripts.lab.search"),
    "scripts/bench control-plane": _of("scripts.lab.control_plane"),
    "scripts/bench validity": _of("scripts.lab.validity.command"),
    "scripts/bench faults": _of("scripts.lab.faults.command"),
    "scripts/bench gpu": _of("scripts.lab.gpu"),
}

# Who reads a module's ways out: the commands that print its refusals. Each flag that it names must be one of all those
# in a row; the first prefix that fits counts.
AUDIENCE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("scripts.tearsheet", ("scripts/generate-tearsheet",)),
    ("WORKFLOW.report.tearsheet", ("scripts/generate-tearsheet",)),
    ("scripts.fetch", ("scripts/fetch-data",)),
    ("scripts.infra.crosschecks", ("scripts/crosscheck",)),
    ("scripts.infra.bars", ("scripts/crosscheck", "scripts/prove-no-lookahead")),
    ("scripts.infra.look_ahead", ("scripts/prove-no-lookahead",)),
    ("scripts.infra.session_state_manager", ("scripts/infra/session_state_manager.py",)),
    ("scripts.lab.faults", ("scripts/bench faults",)),
    ("scripts.lab", ("scripts/bench",)),
    ("scripts.swarm.export", ("export",)),
    ("scripts.swarm.attach", ("attach",)),
    ("scripts.swarm.dashboard", ("dashboard",)),
    ("scripts.swarm.keeper", ("keeper",)),
    ("scripts.swarm.parallel", ("--parallel",)),
    ("scripts.swarm.results", ("results",)),
    ("WORKFLOW.command_line", ("--single",)),
    ("WORKFLOW.data", ("--single", "--parallel", "WORKFLOW/validation.py")),
    ("WORKFLOW.engines", ("--single", "--parallel")),
)


def audience(module: str) -> tuple[str, ...]:
    """The commands whose flags a module may name; () where none is known: any command's will do."""
    return next((commands for prefix, commands in AUDIENCE if module.startswith(prefix)), ())


def options(command: str) -> dict[str, argparse.Action]:
    """Flag → what it takes."""
    return of(command)._option_string_actions
