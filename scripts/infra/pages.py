"""Render the pages that are made from code: agents, files, actions, and the numbers of them in the guides.

`scripts/check --fix` runs this; tests compare each page with what the code renders.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agents import expectations, registry
from state.files import catalog
from state.files.layout import CHECKOUT

# Words on the screens that the guides show, with the numbers of the registry.
_COUNTS: tuple[tuple[str, Callable[[], str]], ...] = (
    (r"\b\d+ sessions started\b", lambda: f"{len(registry.SESSIONS)} sessions started"),
    (r"\b\d+ of \d+ agents alive\b", lambda: f"{len(registry.AGENTS)} of {len(registry.AGENTS)} agents alive"),
)


def counted(page: Path) -> str:
    """Return a guide with the registry's numbers of agents and sessions."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    for pattern, number in _COUNTS:
        text = re.sub(pattern, number(), text)
    return text


PAGES: tuple[tuple[Path, Callable[[], str]], ...] = (
    (Path("agents/AGENT_REGISTRY.md"), registry.page),
    (Path("state/README.md"), catalog.catalog_page),
    (expectations.PAGE, expectations.page),
    *(
        (page, partial(counted, page))
        for page in (Path("docs/reference/commands.md"), Path("docs/guides/FIRST_HOUR.md"))
    ),
)


def main() -> None:
    """Write every page whose text differs from what the code renders."""
    for page, text in PAGES:
        rendered, path = text(), CHECKOUT / page
        if path.read_text(encoding="utf-8") != rendered:
            path.write_text(rendered, encoding="utf-8")
            print(f"rendered {page}", flush=True)
