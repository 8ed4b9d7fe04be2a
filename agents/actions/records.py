"""What can be done to the records of the swarm: written, answered, cut short, removed."""

from typing import Any

from agents.model.action import Action, Held
from agents.model.world import Expired, World
from config.record import dataclass


@dataclass(frozen=True)
class AnswerRequest(Action):
    """To done/ or refused/."""

    kind = "answer_request"
    expects = "the request is answered"
    on = "request_id"

    request_id: str
    done: bool
    reason: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The request no longer waits."""
        return all(request.request_id != target for request in world.requests)


@dataclass(frozen=True)
class WriteEvents(Action):
    """Failures, for people and for the failure memory."""

    kind = "write_events"
    expects = "the events are on file"
    always = "workflow_events.log"

    events: tuple[dict[str, Any], ...]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The log's last line is of that cycle or a later one."""
        return _is_told(cls.kind, world, done_at)


@dataclass(frozen=True)
class WriteIncidents(Action):
    """Incidents as they open and close."""

    kind = "write_incidents"
    expects = "on file"
    always = "session_state_manager_events.jsonl"

    events: tuple[dict[str, Any], ...]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The log's last line is of that cycle or a later one."""
        return _is_told(cls.kind, world, done_at)


@dataclass(frozen=True)
class WriteLine(Action):
    """The line of the session log, and the same as a whole file."""

    kind = "write_line"
    expects = "the line is on file"
    on = "run_id"

    run_id: str
    line: dict[str, Any]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The log's last line is of that cycle or a later one; unknown of another run's log."""
        return _is_told(cls.kind, world, done_at) if target == world.run_id else None


@dataclass(frozen=True)
class SetAside(Action):
    """A damaged launch or request gets another name beside it, if it still is damaged; nothing of it is lost."""

    kind = "set_aside"
    expects = "it lies aside"
    on = "record"

    record: str
    what: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The damaged record is no longer where it was."""
        return all(one.record != target for one in world.faults)


@dataclass(frozen=True)
class RotateLogs(Action):
    """The end of each log goes aside, the log itself is emptied; who writes it notices nothing."""

    kind = "rotate_logs"
    expects = "the logs are short"

    logs: tuple[str, ...]

    @property
    def target(self) -> str:
        """See `Action`."""
        return ", ".join(self.logs)

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The logs are short."""
        return None if world.records is None else not world.records.long_logs


@dataclass(frozen=True)
class CompactJobs(Action):
    """The job journals of these rounds: the same states in fewer records."""

    kind = "compact_jobs"
    expects = "its job journal is short"

    rounds: tuple[int, ...]

    @property
    def target(self) -> str:
        """See `Action`."""
        return f"round {', '.join(str(number + 1) for number in self.rounds)}"

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The journals are short."""
        return None if world.records is None else not world.records.long_journals


@dataclass(frozen=True)
class RetireRecords(Action):
    """Remove what has expired; each is looked at once more before it goes."""

    kind = "retire_records"
    expects = "they are gone"

    expired: tuple[Expired, ...]

    @property
    def target(self) -> str:
        """See `Action`."""
        return f"{len(self.expired)} records, the first: {self.expired[0].path}"

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """Nobody lists them in the next cycle (it costs); when they are listed again, they were decided on again."""
        return None


def _is_told(kind: str, world: World, done_at: str) -> Held:
    last = world.told.get(kind)
    return None if last is None else last >= done_at
