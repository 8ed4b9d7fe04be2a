"""The base of all actions: a target, the expected outcome, and the check of that outcome.

The kinds of actions are in `agents/actions/`. The docstring of a kind says what is done. The agent's next cycle
calls `came_true`, which judges by what that cycle sees, never by what the action itself reported; its docstring says
what it looks for. `python -m agents.expectations` renders a page from both docstrings.

In a record, an action is `{"kind", "target", "expected", "arguments"}`. Recorded decisions are replayed, so these
names and the names of the fields must not change.
"""

from typing import Any

from agents.model.world import World
from config.record import asdict, dataclass, fields

Held = bool | None  # whether the expected outcome came true; None: this world cannot tell


@dataclass(frozen=True)
class Action:
    """One thing to do. Each kind of action has one owner, and a target gets one remedy at a time."""

    kind = ""
    expects = ""  # all texts that `expected` can be, with … for what depends on the action
    on = ""  # the field that names the target; "" when `always` does
    always = ""  # the target of every action of this kind

    @property
    def target(self) -> str:
        """The name of what the action is done to: a job, a worker, a session, a file."""
        return str(getattr(self, self.on)) if self.on else self.always

    @property
    def expected(self) -> str:
        """The outcome that the next cycle should find, in words."""
        return self.expects

    @property
    def arguments(self) -> dict[str, Any]:
        """All fields except the target, as plain JSON values. A field that has its default is left out."""
        plain = asdict(self)
        return {
            one.name: _lists(plain[one.name])
            for one in fields(self)
            if one.name != self.on and getattr(self, one.name) != one.default
        }

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:  # noqa: ARG003
        """The next cycle cannot see the effect. The record of the action says how it went; if something is still
        missing, the agent decides on the action again.
        """
        return None

    def on_record(self) -> dict[str, Any]:
        """The action as records hold it."""
        return {
            "kind": self.kind,
            "target": self.target,
            "expected": self.expected,
            "arguments": self.arguments,
        }


def _lists(value: Any) -> Any:
    """The value with every tuple turned into a list, because JSON knows no tuples."""
    if isinstance(value, tuple | list):
        return [_lists(one) for one in value]
    return {key: _lists(one) for key, one in value.items()} if isinstance(value, dict) else value
