"""Every link of every page leads to a file that is there, and to a heading that it has."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.files.layout import CHECKOUT

PAGES = [
    CHECKOUT / "README.md",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
    CHECKOUT / "agents" / "AGENT_REGISTRY.md",
    CHECKOUT / "hooks" / "pipeline-hooks.md",
]


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Path and anchor of each link to a file of this repository; code blocks hold none."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """The anchors of its headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", one) for one in headings)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(f"{path}#{anchor}" if anchor else path)
    assert dead == []


def test_the_table_of_contents_names_every_page() -> None:
    """All but the decisions and the schemas, whose folders it names."""
    contents = CHECKOUT / "docs" / "README.md"
    named = {(contents.parent / path).resolve() for path, _ in links(contents)}
    pages = {page for page in (CHECKOUT / "docs").rglob("*.md") if "adr" not in page.parts} - {contents}
    assert {str(page.relative_to(CHECKOUT)) for page in pages - named} == set()
