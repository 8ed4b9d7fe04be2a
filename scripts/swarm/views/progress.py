"""bt-worker-progress: what every worker does."""

from rich.console import Group
from rich.text import Text

from scripts.swarm import show
from scripts.swarm.status import build
from scripts.swarm.views.view import LEAVE
from state.files.layout import Roots


class ProgressView:
    """What every worker does."""

    def look(self, roots: Roots) -> None:
        """See `View`."""
        self._now = build(roots)

    def page(self, width: int | None, height: int | None) -> Group:
        """See `View`."""
        foot = None if height is None else height - 2
        page = show.page(self._now, width, foot)
        if height is None or len(page.renderables) > height - 2:
            return page
        return Group(*page.renderables, Text(), Text(LEAVE[: width or len(LEAVE)], style="dim"))

    def line(self) -> str:
        """See `View`."""
        return show.line(self._now)
