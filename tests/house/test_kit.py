"""The kit for contributors: its pages name what there is, the changelog has its form, the licence is one everywhere."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.infra import checks
from state.files.layout import CHECKOUT
from tests.house.sources import shown
from tests.house.test_contracts import PROJECT

DOCS = CHECKOUT / "docs"
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (DOCS / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGELOG = (DOCS / "CHANGELOG.md").read_text(encoding="utf-8")
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]
FORMS = CHECKOUT / ".github" / "ISSUE_TEMPLATE"
# https://keepachangelog.com/en/1.1.0/
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
INPUTS = {"input", "textarea", "dropdown", "checkboxes"}
VERSION = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", re.M)


# links and names ------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings make."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in plain}


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Relative links: the path, empty for the page itself, and the fragment."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            path, _, fragment = target.partition("#")
            yield path, fragment


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for path, fragment in links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(f"{path}#{fragment}" if fragment else path)
    assert broken == []


def named_paths(page: str) -> Iterator[str]:
    """Paths in backticks that are no placeholders: a folder of the repository and what lies in it."""
    top = {path.name for path in CHECKOUT.iterdir()} - {"run"}
    for text in re.findall(r"`([^`\n]+)`", page):
        for word in text.split():
            if "/" in word and word.split("/")[0] in top and not re.search(r"[<>*…{}]", word):
                yield word.split("::")[0]


@pytest.mark.parametrize("page", [DOCS / "CONTRIBUTING.md", DOCS / "SECURITY.md"], ids=shown)
def test_every_path_that_the_kit_names_is_there(page: Path) -> None:
    made_by_use = ("state/.venv", "state/run")
    names = [one for one in named_paths(page.read_text(encoding="utf-8")) if not one.startswith(made_by_use)]
    assert names
    assert [name for name in names if not (CHECKOUT / name).exists()] == []


def test_every_command_of_the_one_check_is_accepted() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", CONTRIBUTING, re.S)
    typed = [line for block in blocks for line in block.splitlines() if line.startswith("scripts/check")]
    assert len(typed) > 4
    for line in typed:
        checks._parser().parse_args(shlex.split(line, comments=True)[1:])


def test_the_recipes_name_what_they_are_about() -> None:
    """A recipe whose names are gone would send people nowhere."""
    for path, words in {
        "agents/registry.py": ("AGENTS", "advises"),
        "hooks/promotion.py": ("REQUIRED", "NOT_ALWAYS_MADE"),
        "WORKFLOW/validity/verdict.py": ("Evidence", "least", "most", "_yes"),
        "WORKFLOW/signals/__init__.py": ("FAMILIES",),
    }.items():
        text = (CHECKOUT / path).read_text(encoding="utf-8")
        assert f"`{path}`" in CONTRIBUTING
        assert [word for word in words if word not in CONTRIBUTING or word not in text] == [], path


# changelog, version, tags ---------------------------------------------------------------------------------------------


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_the_changelog_has_its_form() -> None:
    headings = re.findall(r"^## .*$", CHANGELOG, re.M)
    assert headings[0] == "## [Unreleased]"
    assert [line for line in headings[1:] if not VERSION.match(line)] == []
    assert {line[4:] for line in re.findall(r"^### .*$", CHANGELOG, re.M)} <= KINDS
    versions = [numbers(version) for version, _ in VERSION.findall(CHANGELOG)]
    assert versions == sorted(set(versions), reverse=True)


def test_the_version_is_the_newest_of_the_changelog_or_one_to_come() -> None:
    released = [numbers(version) for version, _ in VERSION.findall(CHANGELOG)]
    assert numbers(PROJECT["project"]["version"]) >= max(released, default=(0, 0, 0))


def test_every_tag_has_its_section() -> None:
    listed = subprocess.run(["git", "-C", CHECKOUT, "tag", "--list", "v*"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so nobody knows its tags")
    sections = {f"v{version}" for version, _ in VERSION.findall(CHANGELOG)}
    assert set(listed.stdout.split()) <= sections


# licence --------------------------------------------------------------------------------------------------------------


def test_the_licence_is_one_everywhere() -> None:
    text = (CHECKOUT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n")
    assert "permission notice shall be included" in text
    assert (PROJECT["project"]["license"], PROJECT["project"]["license-files"]) == ("MIT", ["LICENSE"])
    assert "[MIT](LICENSE)" in README
    assert "](../../LICENSE)" in (DOCS / "reference" / "dependencies.md").read_text(encoding="utf-8")


def test_whatever_has_a_licence_that_reaches_further_is_named_in_the_readme() -> None:
    """Bold in the table: not free to sell, or copyleft over a network."""
    page = (DOCS / "reference" / "dependencies.md").read_text(encoding="utf-8")
    bold = re.findall(r"^\| `([\w-]+)` \| \*\*", page, re.M)
    assert set(bold) == {"vectorbt", "backtesting"}
    end = README[README.index("Licence:") :]
    said = " ".join(end.split())
    assert [words for words in (*bold, "Commons Clause", "AGPL-3.0") if words not in said] == []


# forms for issues -----------------------------------------------------------------------------------------------------


def form(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(set(FORMS.glob("*.yml")) - {FORMS / "config.yml"}), ids=lambda path: path.name)
def test_a_form_can_be_filled_in(path: Path) -> None:
    found = form(path)
    assert all(found[key] for key in ("name", "description", "title", "labels", "body"))
    asked = [one for one in found["body"] if one["type"] != "markdown"]
    assert {one["type"] for one in asked} <= INPUTS
    ids = [one["id"] for one in asked]
    assert len(set(ids)) == len(ids)
    assert all(one["attributes"]["label"] for one in asked)
    assert any(one.get("validations", {}).get("required") for one in asked), "a form that may stay empty helps nobody"
    texts = [str(one["attributes"].get(key, "")) for one in found["body"] for key in ("value", "description")]
    named = re.findall(r"(?:docs|scripts|hooks)/[\w./-]+\w", " ".join(texts))
    assert [name for name in named if not (CHECKOUT / name).exists()] == []


def test_no_issue_begins_without_a_form() -> None:
    assert form(FORMS / "config.yml") == {"blank_issues_enabled": False}
