"""Render the page that says what every action does, and how the next cycle checks its outcome.

`python -m agents.expectations` writes the page from the code: the registry says which agent owns which kind of action,
and each kind in `agents/actions/` says what is done, what is expected, and what is checked afterwards.
"""

from pathlib import Path

from agents.model.action import Action
from agents.registry import AGENTS, RESCUE
from state.files.layout import CHECKOUT
from state.host import process

PAGE = Path("docs") / "reference" / "WORKFLOW_EXPECTED_OUTCOMES_STATEFUL.md"
_HEAD = """\
# What actions are expected to do

Rendered from the registry and `agents/actions/` by `python -m agents.expectations`; a test keeps both equal. While the
swarm runs, the curator keeps the living counterpart of this page, in a file of the same name in the knowledge folder:
how often each action was done, failed, held and had no effect, and what is expected now.

Every action carries the outcome that is expected of it. The agent's next cycle checks whether that outcome came true
(`verified_last_cycle` in the agent's state file). It judges by what it sees then, never by what the action reported. An
outcome that did not come true becomes an incident (`action_unmet:<agent>`), and the agent takes the next, stronger
measure.

| agent | action | does | expected | verified in the next cycle by |
|---|---|---|---|---|
"""


def page() -> str:
    """Return the whole page as Markdown."""
    rows = [
        f"| `{row.name}` | `{kind.kind}` | {_one_line(kind.__doc__)} | {_one_line(kind.expects)} | {_asked(kind)} |"
        for row in (*AGENTS, RESCUE)
        for kind in row.load().owns
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _asked(kind: type[Action]) -> str:
    """Return the docstring of the kind's check as one line."""
    return _one_line(kind.came_true.__doc__)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "/")


if __name__ == "__main__":
    process.begin()
    (CHECKOUT / PAGE).write_text(page(), encoding="utf-8")
