"""The page that says of every action what it does, and how the next cycle knows that it did.

`python -m agents.expectations` writes it, from the code: the registry says who owns what, and each kind of action in
`agents/actions/` what is done, what is expected, and what is asked afterwards.
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

Every action carries the outcome that is expected of it. The agent's next cycle looks whether it came true
(`verified_last_cycle` in its state file) and asks the world for it, never the deed. What did not come true is an
incident (`action_unmet:<agent>`), and the agent goes one step further.

| agent | action | does | expected | verified in the next cycle by |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| `{row.name}` | `{kind.kind}` | {_one_line(kind.__doc__)} | {_one_line(kind.expects)} | {_asked(kind)} |"
        for row in (*AGENTS, RESCUE)
        for kind in row.load().owns
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _asked(kind: type[Action]) -> str:
    """What the next cycle asks, as the check says it."""
    return _one_line(kind.came_true.__doc__)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "/")


if __name__ == "__main__":
    process.begin()
    (CHECKOUT / PAGE).write_text(page(), encoding="utf-8")
