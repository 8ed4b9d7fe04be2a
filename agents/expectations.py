"""The page that says of every action what it does, and how the next cycle knows that it did.

`python -m agents.expectations` writes it, from the code: the registry says who owns what, the agent itself what it
expects, acts what is done, verify what is asked afterwards.
"""

import ast
from pathlib import Path

from agents.machine.acts import Acts
from agents.registry import AGENTS, RESCUE
from agents.runtime import verify
from state.files.layout import CHECKOUT
from state.host import process

PAGE = Path("docs") / "reference" / "WORKFLOW_EXPECTED_OUTCOMES_STATEFUL.md"
_HEAD = """\
# What actions are expected to do

Rendered from the registry, `agents/machine/acts.py` and `agents/runtime/verify.py` by `python -m agents.expectations`;
a test keeps both equal. While the swarm runs, the curator keeps the living counterpart of this page, in a file of the
same name in the knowledge folder: how often each action was done, failed, held and had no effect, and what is expected
now.

Every action carries the outcome that is expected of it. The agent's next cycle looks whether it came true
(`verified_last_cycle` in its state file) and asks the world for it, never the deed. What did not come true is an
incident (`action_unmet:<agent>`), and the agent goes one step further.

| agent | action | does | expected | verified in the next cycle by |
|---|---|---|---|---|
"""
_IN_ITS_FILE = "cannot be seen from outside; its outcome is on record, and what is missing is found missing again"


def page() -> str:
    """The whole page."""
    rows = [
        f"| `{row.name}` | `{kind}` | {_does(kind)} | {_expected(row.name, kind)} | {_asked(kind)} |"
        for row in (*AGENTS, RESCUE)
        for kind in row.load().owns
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _expected(agent: str, kind: str) -> str:
    """The words that the agent's source gives this kind of action; `…` stands for what depends on the situation."""
    tree = ast.parse((CHECKOUT / "agents" / "roles" / f"{agent}.py").read_bytes())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_action(node, kind)]
    return _one_line("; ".join(dict.fromkeys(_words(node.args[2]) for node in calls)))


def _is_action(call: ast.Call, kind: str) -> bool:
    is_one = isinstance(call.func, ast.Name) and call.func.id == "Action" and len(call.args) > 2
    return is_one and isinstance(call.args[0], ast.Constant) and call.args[0].value == kind


def _words(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "…"


def _does(kind: str) -> str:
    return _one_line(getattr(Acts, kind).__doc__)


def _asked(kind: str) -> str:
    """The question's own words; its name where it has none."""
    question = verify.EXPECTED[kind]
    if question is verify._cannot_tell:
        return _IN_ITS_FILE
    return _one_line(question.__doc__) or question.__name__.strip("_").replace("_", " ")


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "/")


if __name__ == "__main__":
    process.begin()
    (CHECKOUT / PAGE).write_text(page(), encoding="utf-8")
