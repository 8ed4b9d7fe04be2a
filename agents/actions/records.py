"""The actions on the swarm's records: they write, answer, shorten or remove them."""

from typing import Any

from agents.model.action import Action, Held
from agents.model.world import Expired, World
from config.record import dataclass


@dataclass(frozen=True)
class AnswerRequest(Action):
    """Answer a request with its reason, and move it to `done/` or `refused/`."""

    kind = "answer_request"
    expects = "the request is answered"
    on = "request_id"

    request_id: str
    done: bool
    reason: str

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The request is no longer open."""
        return all(request.request_id != target for request in world.requests)


@dataclass(frozen=True)
class WriteEvents(Action):
    """Append failures to the workflow's log, for people and for the failure memory."""

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
    """Append the incidents that have opened or closed to the state manager's log."""

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
    """Append a line to the session log, and write the same line as a file of its own."""

    kind = "write_line"
    expects = "the line is on file"
    on = "run_id"

    run_id: str
    line: dict[str, Any]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The log's last line is of that cycle or a later one; this is unknown when the log is that of another run."""
        return _is_told(cls.kind, world, done_at) if target == world.run_id else None


@dataclass(frozen=True)
class SetAside(Action):
    """Rename a launch record or request that is still damaged; the file stays, under its new name, in its folder."""

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
    """Copy the end of each log into a file beside it and empty the log in place; its writer notices nothing."""

    kind = "rotate_logs"
    expects = "the logs are short"

    logs: tuple[str, ...]

    @property
    def target(self) -> str:
        """The names of the logs."""
        return ", ".join(self.logs)

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """No log of the swarm is too long."""
        return None if world.records is None else not world.records.long_logs


@dataclass(frozen=True)
class CompactJobs(Action):
    """Rewrite the job journals of these rounds: the same job states in fewer records."""

    kind = "compact_jobs"
    expects = "its job journal is short"

    rounds: tuple[int, ...]

    @property
    def target(self) -> str:
        """The rounds, counted from 1."""
        return f"round {', '.join(str(number + 1) for number in self.rounds)}"

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """No job journal of the run is too long."""
        return None if world.records is None else not world.records.long_journals


@dataclass(frozen=True)
class RetireRecords(Action):
    """Remove the records that have expired. Each record is checked once more before it is removed."""

    kind = "retire_records"
    expects = "they are gone"

    expired: tuple[Expired, ...]

    @property
    def target(self) -> str:
        """How many records are removed, and the path of the first."""
        return f"{len(self.expired)} records, the first: {self.expired[0].path}"

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The next cycle does not list them, as listing costs time; the next list names those that are still there."""
        return None


def _is_told(kind: str, world: World, done_at: str) -> Held:
    last = world.told.get(kind)
    return None if last is None else last >= done_at
