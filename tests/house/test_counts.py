"""Numbers of things in texts are right: "fourteen agents" equals the registry, and so on."""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path

import pytest

from agents.registry import AGENTS, MONITORS, SESSIONS
from hooks.promotion import NOT_ALWAYS_MADE, REQUIRED
from scripts.infra import pages
from scripts.swarm.doctor.command import CHECKS
from state.files.layout import CHECKOUT
from tests.house.sources import PACKAGES, files, shown
from tests.house.test_contracts import CONTRACTS
from tests.house.test_settings import hints, records

# Up to here a number picks some of them out ("two agents that no longer do it") and does not count them all.
FEW = 4
LOW = ("five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
HIGH = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")
WORDS = {word: number for number, word in enumerate((*LOW, *HIGH), start=FEW + 1)}
ADVISERS = sum(row.advises for row in AGENTS)
# What is counted → how many of them somebody may speak of.
COUNTS = {
    "agents": {len(AGENTS), len(AGENTS) - ADVISERS, ADVISERS},
    "advisers": {ADVISERS},
    "monitors": {len(MONITORS)},
    "sessions": {len(SESSIONS), len(SESSIONS) - ADVISERS},
    "checks": {len(REQUIRED), len(REQUIRED) + len(NOT_ALWAYS_MADE), len(CHECKS)},
    "contracts": {len(CONTRACTS)},
    "settings": {sum(not is_dataclass(hint) for kind in records().values() for hint in hints(kind).values())},
}
NUMBER = rf"\d[\d,]*|{'|'.join(WORDS)}"
SAID = re.compile(
    rf"\b({NUMBER}) (?:of (?:{NUMBER}) )?(?:other |more |tmux |import )?({'|'.join(COUNTS)})\b", re.IGNORECASE
)
# They speak of other things by the same words, or of a day that is past.
ELSEWHERE = ("docs/reference/dependencies.md", "docs/adr/", "docs/CHANGELOG.md")


def texts() -> Iterator[Path]:
    """Pages, and files with messages and docstrings."""
    yield CHECKOUT / "README.md"
    yield from sorted((CHECKOUT / "docs").rglob("*.md"))
    for package in PACKAGES:
        for path in files(package):
            if path.suffix in ("", ".py", ".md", ".sh", ".yaml"):
                yield path


def wrong(text: str) -> list[str]:
    """Phrases that count something, and count it otherwise than the code."""
    found = []
    for match in SAID.finditer(text):
        number = WORDS.get(match[1].lower()) or int(match[1].replace(",", ""))
        if number > FEW and number not in COUNTS[match[2].lower()]:
            found.append(match[0])
    return found


def test_every_number_of_agents_sessions_checks_and_settings_is_the_number_there_is() -> None:
    found = {}
    for path in texts():
        if not shown(path).startswith(ELSEWHERE) and (here := wrong(path.read_text(encoding="utf-8"))):
            found[shown(path)] = here
    assert found == {}, f"say how many there are, {COUNTS}, or better no number"


MORE = len(AGENTS) + 1  # and none of the other numbers that are allowed, as advisers are half of them at most


@pytest.mark.parametrize(
    "text", [f"all {MORE} agents", f"{MORE} of {MORE} agents alive", f"{len(SESSIONS) + 1} sessions"]
)
def test_a_number_that_is_no_longer_true_is_found(text: str) -> None:
    assert wrong(f"There are {text} here.")


@pytest.mark.parametrize("text", ["two agents", "fourteen hours", f"{len(AGENTS)} agents", f"{len(SESSIONS)} sessions"])
def test_a_number_that_is_true_or_picks_a_few_out_is_not(text: str) -> None:
    assert not wrong(text)


def test_the_screens_in_the_guides_hold_numbers_that_are_rendered() -> None:
    """`scripts/check --fix` writes them anew."""
    guides = [page for page, render in pages.PAGES if getattr(render, "func", None) is pages.counted]
    texts = "".join((CHECKOUT / page).read_text(encoding="utf-8") for page in guides)
    assert [pattern for pattern, _ in pages._COUNTS if not re.search(pattern, texts)] == []
