"""The actions of advisers: they ask another agent for something, and write what is known into documents."""

from typing import Any

from agents.model.action import Action, Held
from agents.model.world import World
from config.record import dataclass


@dataclass(frozen=True)
class Ask(Action):
    """Write a request to the agent that owns the target, unless such a request is open already."""

    kind = "ask"
    expects = "the hang guard sees to all sessions"
    on = "about"

    about: str
    wish: str  # the kind of request
    owner: str
    evidence: dict[str, Any]

    @property
    def arguments(self) -> dict[str, Any]:
        """The request's kind, owner and evidence."""
        return {"kind": self.wish, "owner": self.owner, "evidence": self.evidence}


@dataclass(frozen=True)
class RememberFailures(Action):
    """Count these failures in the failure memory."""

    kind = "remember_failures"
    expects = "each is counted once"
    always = "FAILURE_POINTS_BACKTEST_OPTIMIZE.json"

    failures: tuple[dict[str, Any], ...]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The failure memory can be read as one whole array."""
        return None if world.knowledge is None else not world.knowledge.is_damaged


@dataclass(frozen=True)
class WriteFindings(Action):
    """Append these findings to the knowledge base."""

    kind = "write_findings"
    expects = "it holds them"
    always = "KNOWLEDGE_BASE_BACKTEST.md"

    findings: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class WriteNotes(Action):
    """Write the notes between their markers in the notes file."""

    kind = "write_notes"
    expects = "they stand between the markers"
    always = "WORKFLOW_NOTES.md"

    text: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The notes file holds exactly one whole block of notes."""
        return None if world.knowledge is None else world.knowledge.notes is not None


@dataclass(frozen=True)
class WriteOutcomes(Action):
    """Write what actions were expected to do, and did, between its markers in the file of expected outcomes."""

    kind = "write_outcomes"
    expects = "they stand between the markers"
    always = "WORKFLOW_EXPECTED_OUTCOMES_STATEFUL.md"

    text: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The file of expected outcomes holds exactly one whole block."""
        return None if world.knowledge is None else world.knowledge.story is not None


@dataclass(frozen=True)
class WriteHypotheses(Action):
    """Append these lines to the ledger of hypotheses, each line once."""

    kind = "write_hypotheses"
    expects = "the ledger holds them"
    always = "hypotheses.jsonl"

    lines: tuple[dict[str, Any], ...]
