"""What advisers can do: ask another agent, and write what is known into documents."""

from typing import Any

from agents.model.action import Action, Held
from agents.model.world import World
from config.record import dataclass


@dataclass(frozen=True)
class Ask(Action):
    """A request to the owner of its target, unless one is open already."""

    kind = "ask"
    expects = "the hang guard sees to all sessions"
    on = "about"

    about: str
    wish: str  # the kind of request
    owner: str
    evidence: dict[str, Any]

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Action`."""
        return {"kind": self.wish, "owner": self.owner, "evidence": self.evidence}


@dataclass(frozen=True)
class RememberFailures(Action):
    """Into the failure memory."""

    kind = "remember_failures"
    expects = "each is counted once"
    always = "FAILURE_POINTS_BACKTEST_OPTIMIZE.json"

    failures: tuple[dict[str, Any], ...]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The failure memory is a whole array."""
        return None if world.knowledge is None else not world.knowledge.is_damaged


@dataclass(frozen=True)
class WriteFindings(Action):
    """To the end of the knowledge base."""

    kind = "write_findings"
    expects = "it holds them"
    always = "KNOWLEDGE_BASE_BACKTEST.md"

    findings: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class WriteNotes(Action):
    """Between the markers of the notes."""

    kind = "write_notes"
    expects = "they stand between the markers"
    always = "WORKFLOW_NOTES.md"

    text: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The notes have their one whole block."""
        return None if world.knowledge is None else world.knowledge.notes is not None


@dataclass(frozen=True)
class WriteOutcomes(Action):
    """Between the markers of the story."""

    kind = "write_outcomes"
    expects = "they stand between the markers"
    always = "WORKFLOW_EXPECTED_OUTCOMES_STATEFUL.md"

    text: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The story has its one whole block."""
        return None if world.knowledge is None else world.knowledge.story is not None


@dataclass(frozen=True)
class WriteHypotheses(Action):
    """To the end of the ledger, each once."""

    kind = "write_hypotheses"
    expects = "the ledger holds them"
    always = "hypotheses.jsonl"

    lines: tuple[dict[str, Any], ...]
