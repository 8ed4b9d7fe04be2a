"""What every action has: a target, the outcome that is expected of it, and the check of that outcome.

The kinds stand in `agents/actions/`. The docstring of a kind says what is done. `came_true` is asked in the next cycle
of the agent, of what it sees then and never of what did it; its docstring says what it asks.
`python -m agents.expectations` makes a page of both.

On record an action is `{"kind", "target", "expected", "arguments"}`. Recorded decisions are replayed, so these names,
and those of the fields, stay.
"""

from typing import Any

from agents.model.world import World
from config.record import asdict, dataclass, fields

Held = bool | None  # whether what was expected came true; None: this world cannot tell


@dataclass(frozen=True)
class Action:
    """Something to do. A kind has one owner; a target gets one remedy at a time."""

    kind = ""
    expects = ""  # in words: all that `expected` can be, with … for what depends on the action
    on = ""  # the field that names the target, or
    always = ""  # the one target of this kind

    @property
    def target(self) -> str:
        """What it is done to."""
        return str(getattr(self, self.on)) if self.on else self.always

    @property
    def expected(self) -> str:
        """What the next cycle is to find."""
        return self.expects

    @property
    def arguments(self) -> dict[str, Any]:
        """All fields but the target as plain JSON. A field that still has its default is left out."""
        plain = asdict(self)
        return {
            one.name: _lists(plain[one.name])
            for one in fields(self)
            if one.name != self.on and getattr(self, one.name) != one.default
        }

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:  # noqa: ARG003
        """Cannot be seen from outside; its outcome is on record, and what is missing is found missing again."""
        return None

    def on_record(self) -> dict[str, Any]:
        """The action as it is written down."""
        return {
            "kind": self.kind,
            "target": self.target,
            "expected": self.expected,
            "arguments": self.arguments,
        }


def _lists(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, tuple | list):
        return [_lists(one) for one in value]
    return {key: _lists(one) for key, one in value.items()} if isinstance(value, dict) else value
