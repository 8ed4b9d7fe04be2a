"""No validity check can be forgotten: not by the gate that promotes, not by the page, not by the recount."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

from hooks.promotion import NOT_ALWAYS_MADE, REQUIRED
from state.files.layout import CHECKOUT
from tests.house.sources import files, is_python, shown, trees
from tests.validity import test_verdict
from WORKFLOW.validity import verdict

PAGE = (CHECKOUT / "docs" / "reference" / "validity.md").read_text(encoding="utf-8")
GATE = "hooks/promotion.py"
HINTS = get_type_hints(verdict.checks)
EVIDENCE = HINTS["evidence"]
(CHECK,) = get_args(HINTS["return"])
# What makes a check: its type, and functions that give one. The first argument is its name.
MAKERS = {CHECK.__name__} | {
    name
    for name, function in inspect.getmembers(verdict, inspect.isfunction)
    if get_type_hints(function).get("return") is CHECK
}
# It judges a list of trades that somebody brings, which has no result folder and is never promoted.
OF_TRADE_LISTS = "WORKFLOW/validity/trade_list.py"


def names_made() -> Iterator[str]:
    """The name of every check that the judge can make, as a pattern: what an f-string fills in is `.+` there."""
    judges = [one for path, one in trees("WORKFLOW").items() if path.startswith("WORKFLOW/validity/")]
    for tree in judges:
        if tree is trees("WORKFLOW")[OF_TRADE_LISTS]:
            continue
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            given = {argument.arg for argument in function.args.args}
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                if ast.unparse(call.func).rpartition(".")[2] in MAKERS:
                    yield from _name_of(call.args[0], given, ast.unparse(call))


def _name_of(argument: ast.expr, given: set[str], call: str) -> Iterator[str]:
    if isinstance(argument, ast.Constant):
        yield re.escape(str(argument.value))
    elif isinstance(argument, ast.JoinedStr):
        yield "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in argument.values)
    else:  # a maker that was itself given the name
        assert isinstance(argument, ast.Name) and argument.id in given, f"write the name of this check out: {call}"


def test_every_check_that_the_judge_makes_is_required_by_the_gate_or_said_to_be_made_only_sometimes() -> None:
    made, known = set(names_made()), {*REQUIRED, *NOT_ALWAYS_MADE}
    forgotten = [name for name in made if not any(re.fullmatch(name, one) for one in known)]
    assert forgotten == [], f"add these to REQUIRED in {GATE}, or to NOT_ALWAYS_MADE with the reason"
    idle = [one for one in known if not any(re.fullmatch(name, one) for name in made)]
    assert idle == [], f"write these into `checks` of WORKFLOW/validity/verdict.py, or take them out of {GATE}"


def test_a_check_is_either_required_or_not_always_made_and_says_why() -> None:
    assert set(REQUIRED) & set(NOT_ALWAYS_MADE) == set()
    assert len(set(REQUIRED)) == len(REQUIRED)
    assert all(reason for reason in NOT_ALWAYS_MADE.values())


def test_every_check_has_a_line_on_the_page_and_the_page_invents_none() -> None:
    section = PAGE.partition("## The checks\n")[2].partition("\n## ")[0]
    described = [
        name
        for line in section.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line[2:].partition(" | ")[0])
    ]
    known = [*REQUIRED, *NOT_ALWAYS_MADE]
    assert set(known) - set(described) == set(), "give each a row in the table of docs/reference/validity.md"
    assert sorted(described) == sorted(known), "docs/reference/validity.md has rows of no check, or several of one"


def test_judge_and_recount_give_every_piece_of_evidence() -> None:
    """A piece with a default that only the judge gives would be judged otherwise when a result is counted again."""
    wanted, name = {one.name for one in dataclasses.fields(EVIDENCE)}, EVIDENCE.__name__
    makers = [
        (path, node)
        for path, tree in trees("WORKFLOW").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name
    ]
    assert {str(Path(path).parent) for path, _ in makers} == {"WORKFLOW/validity", "WORKFLOW/recount"}
    for path, call in makers:
        given = {str(keyword.arg) for keyword in call.keywords}
        assert wanted - given == set(), f"{path} makes {name} without these"
        assert given - wanted == set(), f"{path} gives what is no field of {name} in WORKFLOW/validity/verdict.py"


def test_one_test_alone_lists_good_evidence() -> None:
    """Each further list would have to be changed for every new piece."""
    made = re.compile(rf"\b(?:{EVIDENCE.__name__}|{verdict.WindowFigures.__name__})\(")
    lists = {shown(path) for path in files("tests") if is_python(path) and made.search(path.read_text("utf-8"))}
    assert lists == {"tests/validity/test_verdict.py"}, "write `replace(GOOD, …)` with the GOOD of that file"


def test_every_check_of_a_strategy_is_seen_to_refuse_it_alone() -> None:
    """`tests/validity/test_verdict.py` has a case for each: evidence with which that check fails and no other."""
    marks = getattr(test_verdict.test_each_check_alone_is_enough_to_refuse, "pytestmark", [])
    refused = set()
    for change, _ in (case for mark in marks for case in mark.args[1]):
        evidence = dataclasses.replace(test_verdict.GOOD, **change)
        refused |= {one.name for one in verdict.checks(evidence, test_verdict.SETTINGS) if not one.passed}
    made = {one.name for one in verdict.checks(test_verdict.GOOD, test_verdict.SETTINGS)}
    assert made - refused == set(), "add a case for each to tests/validity/test_verdict.py"
