"""The interface of every monitor: look at the swarm, and show what was seen as a page or as a line."""

from typing import Protocol

from rich.console import Group

from state.files.layout import Roots

LEAVE = "Ctrl-B d leaves this running"


class View(Protocol):
    """One monitor."""

    def look(self, roots: Roots) -> None:
        """Read what there is to see."""

    def page(self, width: int | None, height: int | None) -> Group:
        """Return what was seen as a page of at most that size."""

    def line(self) -> str:
        """Return the same in one line."""
