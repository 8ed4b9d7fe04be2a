"""Run formatting, lint, types, layer contracts and tests one after the other, and say how each went."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.infra import environment
from state.host import command

CHECKOUT = Path(__file__).resolve().parent.parent.parent

# import-linter has no `python -m`, and the command in bin/ breaks when the checkout is moved.
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
RENDER = "from scripts.infra.pages import main; main()"

EPILOG = """\
examples:
  scripts/check                  everything, as continuous integration does
  scripts/check --fast           without the tests that take long: those of whole swarms and whole runs
  scripts/check --fix            lay out, repair and render what can be, then everything
  scripts/check --only tests -- -k journal

exit codes: 0 all well, 1 some step failed, 2 usage, 130 stopped by Ctrl-C
"""


@dataclass(frozen=True)
class CheckStep:
    """One tool, as arguments to Python; a loud one's output is shown as it comes, others' only when they fail."""

    name: str
    arguments: tuple[str, ...]
    is_loud: bool = False


def steps(is_fast: bool = False) -> tuple[CheckStep, ...]:
    """The steps in their order: the cheapest to fail comes first. `is_fast`: without the tests marked `slow`."""
    chosen = ("-m", "not slow") if is_fast else ()
    return (
        CheckStep("format", ("-m", "ruff", "format", "--check", "--quiet", "--diff", ".")),
        CheckStep("lint", ("-m", "ruff", "check", "--quiet", ".")),
        CheckStep("types", ("-m", "mypy", "--no-error-summary")),
        CheckStep("contracts", ("-c", LINT_IMPORTS, "--no-cache", "--no-logo")),
        # One file stays in one process, so that what a file compiles with Numba is compiled once. Files keep the order
        # of tests/conftest.py, which puts those that take long first.
        CheckStep(
            "tests",
            ("-m", "pytest", "-n", str(_workers()), *_ORDERED, *_SLOWEST, *chosen, "-q"),
            is_loud=True,
        ),
    )


_ORDERED = ("--dist", "loadfile", "--no-loadscope-reorder")
_SLOWEST = ("--durations", "20", "--durations-min", "1")

FIXES = (
    CheckStep("lay out", ("-m", "ruff", "format", "--quiet", ".")),
    CheckStep("repair", ("-m", "ruff", "check", "--quiet", "--fix", "--exit-zero", ".")),
    CheckStep("render", ("-c", RENDER), is_loud=True),
)


def main(arguments: Sequence[str]) -> int:
    """Run the chosen steps, all of them even if one fails; 1 if any did."""
    return command.run(_parser, _checked, arguments)


def _checked(chosen: argparse.Namespace) -> int:
    for extra in ("dev", "dashboard"):  # what a test types must not be installed in the middle of the others
        environment.require(CHECKOUT, extra)
    todo = [step for step in steps(chosen.fast) if chosen.only in (None, step.name)]
    failed = [step.name for step in [*(FIXES if chosen.fix else ()), *todo] if not _passes(step, chosen.more)]
    print(f"FAILED: {', '.join(failed)}" if failed else "all well", flush=True)
    return 1 if failed else 0


def _parser() -> command.Parser:
    parser = command.Parser(prog="scripts/check", description=__doc__, epilog=EPILOG, is_older=True)
    names = [step.name for step in steps()]
    parser.add_argument(
        "--fix",
        action="store_true",
        help="run ruff format and ruff check --fix first, and render the pages that are made from code",
    )
    parser.add_argument("--fast", action="store_true", help="leave out the tests that are marked slow")
    parser.add_argument("--only", metavar="STEP", choices=names, help=f"one step: {', '.join(names)}")
    parser.add_argument("more", nargs="*", metavar="-- ARG", help="passed on to the tests")
    return parser


def _passes(step: CheckStep, more: Sequence[str]) -> bool:
    began = time.monotonic()
    words = [sys.executable, *step.arguments, *(more if step.name == "tests" else ())]
    done = subprocess.run(
        words,
        cwd=CHECKOUT,
        stdout=None if step.is_loud else subprocess.PIPE,
        stderr=None if step.is_loud else subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    ok = done.returncode == 0
    if not ok and done.stdout:
        print(done.stdout.rstrip())
    print(f"{step.name:<10} {time.monotonic() - began:6.1f} s  {'ok' if ok else 'FAILED'}", flush=True)
    return ok


def _workers() -> int:
    # One for each core: workers of a swarm give way to whatever else wants the core, so with two for each they starve.
    # Compiling and running kernels takes 0.5 to 1 GB a process: more than eight help nobody.
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
