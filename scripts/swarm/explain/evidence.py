"""What the records say about a name: what was written, by which program, when and why. Each store has one reader."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agents.registry import AGENTS
from scripts.swarm.records import decisions_with, records_with
from state.files import snapshot
from state.files.layout import Roots
from state.host.clock import stamp
from state.records import agent_states
from state.records.jobs import DEATHS
from state.records.report_parts import on_record

_FOUND = {"True": "it is so", "False": "it is not so: it goes one step further"}
_BECAUSE = {  # the fixed reasons of these kinds of action
    "continue_worker": "it was stopped (state T)",
    "complete_job": "its result is on file",
    "retire_worker": "it has ended and is accounted for",
    "end_worker": "it is no longer wanted",
}
_NUMBERS = ("cycle", "at_s", "boot_id", "retry_at_s")  # fields that are left out: they tell a reader nothing


@dataclass(frozen=True)
class Evidence:
    """One line of the chain. `at` is a UTC timestamp, "" if unknown; `source` is the file, relative to its root."""

    at: str
    who: str
    what: str
    why: str
    source: str


@dataclass(frozen=True)
class Names:
    """The names that a record must hold to count, as whole names: `…prescreen.4` is not `…prescreen.41`."""

    all: tuple[str, ...]

    def are_in(self, *texts: str) -> bool:
        """Whether any of the texts holds any of the names."""
        return any(self._pattern.search(text) for text in texts)

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, self.all))})(?!\.?[\w-])")


def in_order(found: Iterable[Evidence], since: str = "", until: str = "9") -> list[Evidence]:
    """Return the evidence sorted by time, within the limits; what two stores say in the same words counts once.

    The limits are UTC timestamps; the default "9" comes after every timestamp.
    """
    once: dict[tuple[str, str, str], Evidence] = {}
    for one in found:
        if since <= one.at <= until:
            # The first store that says so belongs to the program that acted.
            once.setdefault((one.at, one.what, one.why), one)
    return sorted(once.values(), key=lambda one: one.at)


def around(moment: str, seconds: float) -> str:
    """Return the moment that many seconds later, or earlier when negative."""
    try:
        return stamp(datetime.fromisoformat(moment) + timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        return ""


# jobs -----------------------------------------------------------------------------------------------------------------


def of_journal(history: Iterable[Mapping[str, Any]], source: str) -> Iterator[Evidence]:
    """Return what the job journal holds about one job."""
    for record in history:
        who = "auto_scheduler" if record.get("event") == "enqueued" else "worker_sentry"
        what, why = _job_event(record)
        yield Evidence(str(record.get("at", "")), who, what, why, source)


def _job_event(record: Mapping[str, Any]) -> tuple[str, str]:
    event, message = record.get("event"), str(record.get("error_message") or "")
    if event == "enqueued":
        is_first = _mapping(record, "job").get("phase") == "preflight"
        return "the job is enqueued", "" if is_first else "the phase before it is done"
    if event == "started":
        return f"starts {record.get('worker_id')} on {record.get('lane')}", f"epoch {record.get('epoch')}"
    if event == "completed":
        return "the job is completed", ", ".join(
            f"{name} {_measured(value)}" for name, value in _mapping(record, "metrics").items() if _is_plain(value)
        )
    if event == "died":
        deaths = record.get("deaths")
        counted = f"{deaths} deaths in a row without progress" if deaths else "it does not count"
        return "its worker is dead; the job is pending again", f"{message} ({counted}; {record.get('last_done')} done)"
    return f"the job is {event}", message


def _mapping(tree: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return what the record holds under a key if that is an object, else an empty one."""
    found = tree.get(key)
    return found if isinstance(found, dict) else {}


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict)


def _measured(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, float) and abs(value) >= 1_000 else str(value)


# agents ---------------------------------------------------------------------------------------------------------------


def of_cycles(roots: Roots, names: Names) -> Iterator[Evidence]:
    """Return what every agent decided about the names, with its reason, cycle by cycle; rotated files, too."""
    for row in AGENTS:
        path = roots.cycles(row.name)
        for record in decisions_with(path, names.all):
            at, reason = str(record.get("at", "")), str(record.get("reason", ""))
            for action in actions(record):
                if is_about(action, names):
                    what = f"decides in cycle {record.get('cycle')}: {action['kind']} {action['target']}"
                    yield Evidence(at, row.name, what, _reason_of(action) or reason, _below(path, roots))


def actions(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the actions of a cycle whose record names kind, target and arguments."""
    found = _mapping(record, "decision").get("actions")
    deeds = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    named = (one for one in deeds if isinstance(one.get("kind"), str) and isinstance(one.get("target"), str))
    return [{**one, "arguments": _mapping(one, "arguments")} for one in named]


def is_about(action: Mapping[str, Any], names: Names) -> bool:
    """Whether the action's target or an argument is one of the names; a text that only mentions one does not count."""
    said = action.get("arguments", {})
    values = [one for value in said.values() for one in (value if isinstance(value, list) else [value])]
    return names.are_in(str(action.get("target", ""))) or any(
        value in names.all for value in values if isinstance(value, str)
    )


def _reason_of(action: Mapping[str, Any]) -> str:
    said = action.get("arguments", {})
    why = next((str(said[key]) for key in ("why", "reason", "error_message") if said.get(key)), "")
    if not why and action["kind"] in _BECAUSE:
        return _BECAUSE[action["kind"]]
    if action["kind"] == "launch_worker":
        return f"epoch {said.get('epoch')} on {said.get('lane')}, {_cores(said)}"
    return why


def _cores(said: Mapping[str, Any]) -> str:
    return "1 core" if said.get("cores") == 1 else f"{said.get('cores')} cores"


def of_states(roots: Roots, names: Names) -> Iterator[Evidence]:
    """Return the outcome of the last actions, and whether the next cycle found what was expected of them."""
    for row in AGENTS:
        path = roots.agent_state(row.name)
        state = agent_states.read(roots, row.name).state
        source = _below(path, roots)
        for deed in state.actions_last_cycle:
            if names.are_in(deed.target):
                yield Evidence(state.at, row.name, f"did: {deed.kind}", deed.outcome, source)
        for one in state.verified_last_cycle:
            if names.are_in(one.target):
                found = _FOUND.get(str(one.holds), "the next cycle cannot see this")
                expected = f"looks whether {one.kind} had its effect: {one.expected}"
                yield Evidence(state.at, row.name, expected, found, source)


# events ---------------------------------------------------------------------------------------------------------------


def of_events(roots: Roots, names: Names) -> Iterator[Evidence]:
    """Return failures as the watchdog recorded them, and incidents as they opened and closed."""
    for path, who in ((roots.events, "watchdog"), (roots.session_events, "session_state_manager")):
        for record in records_with(path, names.all):
            texts = [str(record.get(key, "")) for key in ("id", "what", "job_id", "worker_id", "target", "session")]
            if names.are_in(*texts):
                yield _event(record, who, _below(path, roots))


def _event(record: Mapping[str, Any], who: str, source: str) -> Evidence:
    event = str(record.get("event", "event"))
    if event in DEATHS:  # the journal says this at the same time: in the same words, both count once
        what, why = _job_event({"deaths": 0, "last_done": 0, **record})
    elif event.startswith("incident_"):
        what, why = f"{event.replace('_', ' ')}: {record.get('id')}", str(record.get("what", ""))
    else:
        what = event.replace("_", " ")
        told = (f"{key} {value}" for key, value in record.items() if key not in (*_NUMBERS, "event", "at", "run_id"))
        why = str(record.get("error_message") or ", ".join(told))
    return Evidence(str(record.get("at", "")), who, what, why, source)


def of_requests(roots: Roots, names: Names) -> Iterator[Evidence]:
    """Return the requests about the names, with the agent that asked, and what the owner answered."""
    for folder in (roots.requests, roots.requests / "done", roots.requests / "refused"):
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            record = snapshot.read_json(path)
            if not isinstance(record, dict) or not names.are_in(str(record.get("target"))):
                continue
            source, wish = _below(path, roots), str(record.get("kind"))
            yield Evidence(str(record.get("asked_at", "")), str(record.get("asked_by")), f"wishes {wish}", "", source)
            if record.get("answered_at"):
                what = f"answers the wish {wish}: {folder.name}"
                yield Evidence(str(record["answered_at"]), "its owner", what, str(record.get("reason", "")), source)


# a worker's own files -------------------------------------------------------------------------------------------------


def of_worker(roots: Roots, worker_id: str) -> Iterator[Evidence]:
    """Return the worker's launch record, heartbeat and exit file, as long as these files exist."""
    launch, beat = (snapshot.read_json(path(worker_id)) for path in (roots.launch, roots.heartbeat))
    if isinstance(launch, dict):
        what = f"the launch record of {worker_id} is on file: {launch.get('lane')}, {_cores(launch)}"
        yield Evidence(str(launch.get("launched_at", "")), "worker_sentry", what, "", f"workers/{worker_id}.json")
    if isinstance(beat, dict):
        what = f"its heartbeat: {beat.get('done')} of {beat.get('total')} in {beat.get('phase')}"
        why = str(beat.get("note", ""))
        yield Evidence(str(beat.get("at", "")), "the worker", what, why, f"heartbeats/{worker_id}.json")
    path = roots.exit(worker_id)
    ended = snapshot.read_json(path)
    if isinstance(ended, dict):
        how = f"signal {ended['signal']}" if ended.get("signal") is not None else f"exit code {ended.get('code')}"
        oom = "; the kernel's memory killer struck then" if ended.get("oom") else ""
        yield Evidence(_changed(path), "its wrapper", f"it ended: {how}{oom}", "", f"exits/{worker_id}.json")


def of_log(path: Path, at: str) -> Iterator[Evidence]:
    """Return the last line of the job's log, and where that log is."""
    from scripts.swarm.records import last_line

    if said := last_line(path):
        yield Evidence(max(at, _changed(path)), "the worker's log", said[:200], "", str(path))


# GPUs -----------------------------------------------------------------------------------------------------------------


def of_gpu(roots: Roots, number: int, history: Iterable[Mapping[str, Any]]) -> Iterator[Evidence]:
    """Return what was recorded about GPUs: events, decisions, workers started on this GPU, the watchdog's last look."""
    lane = f"gpu{number}"
    for path, who in ((roots.events, "watchdog"), (roots.session_events, "session_state_manager")):
        yield from (_event(record, who, _below(path, roots)) for record in records_with(path, ("gpu", "GPU")))
    for record in history:
        if record.get("event") == "started" and record.get("lane") == lane:
            yield from of_journal([record], "jobs.jsonl")
    for agent in ("util_controller", "worker_sentry"):
        path = roots.cycles(agent)
        for record in decisions_with(path, (lane, "gpu lanes", "GPU")):
            if Names((lane, "gpu", "GPU")).are_in(str(record.get("reason", ""))):
                what = f"decides in cycle {record.get('cycle')}"
                yield Evidence(str(record.get("at", "")), agent, what, str(record["reason"]), _below(path, roots))
    read = agent_states.read(roots, "watchdog")
    if read.is_there:
        report = agent_states.reports({"watchdog": read}).watchdog
        mine = [on_record(gpu) for gpu in report.gpus or () if gpu.index == number]
        what = "the driver gave no answer" if report.gpus is None else f"sees {mine[0]}" if mine else "sees no such GPU"
        source = _below(roots.agent_state("watchdog"), roots)
        yield Evidence(read.state.at, "watchdog", what, f"plan: {report.gpu_plan}", source)


def _below(path: Path, roots: Roots) -> str:
    return str(path.relative_to(roots.state)) if path.is_relative_to(roots.state) else str(path)


def _changed(path: Path) -> str:
    try:
        return stamp(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    except OSError:
        return ""
