"""What `session_state_manager.py --query` answers: the stage of the run now, and the manager's last record.

The manager's record is up to one cadence old while all is well, and may have any age when the manager is dead. So the
stage is read from the job journal itself, and the rest carries its age. The answer takes milliseconds, because only the
standard library is used.
"""

import json
import os
import time

from scripts.infra import plain_file
from state.records import standing

TYPE_CHECKING = False  # type checkers take this for true; importing `typing` would cost as much as all the rest
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

AGENT = "session_state_manager"
ENSURE = "bash scripts/ensure_swarm_watchdogs.sh"
_PATIENCE_S = 90.0  # seconds, when swarm.json names none: three cadences of the manager plus the deadline of one cycle
_IDLE = "maintain_polling_and_keep_workers_saturated"
_LONGEST_LINE = 8 << 20  # the same as in state/files/codec.py
_BOOT = "/proc/sys/kernel/random/boot_id"


def read(path: str) -> "dict[str, Any]":
    """Return the answer for the state root that holds `path`, the manager's state file.

    Raises:
        OSError: there is no such file, and no tombstone that would say why. ValueError: the file holds no state.
    """
    folder = os.path.dirname(os.path.abspath(path))
    tombstone = os.path.join(folder, "stopped.json")
    stopped = _json(tombstone) or {} if os.path.lexists(tombstone) else None  # its existence is all that counts
    state = _state(path, folder)
    now = _run(folder, state["report"].get("run_id"))
    answer = _answer(state, now)
    if stopped is not None:
        return {**answer, **_stopped(stopped, now)}
    why = _why_stale(state, folder, os.path.basename(path))
    return {**answer, **_brought_up_to_date(answer, state, now), **(_stale(why, answer) if why else {})}


def _state(path: str, folder: str) -> "dict[str, Any]":
    """Return the record; an empty one after a stop that came before the manager's first cycle."""
    if not os.path.exists(path) and os.path.exists(os.path.join(folder, "stopped.json")):
        return {"at": None, "cycle": 0, "report": {}}
    state = json.loads(plain_file.read(path))
    if not isinstance(state, dict) or not isinstance(state.get("report"), dict):
        raise ValueError("it holds no report")
    at, cycle = state.get("at"), state.get("cycle")
    known = {"at": at if isinstance(at, str) else None, "cycle": cycle if isinstance(cycle, int) else 0}
    return {**known, "report": _sound(state["report"]), **_moment(state)}


def _sound(report: "Mapping[str, Any]") -> "dict[str, Any]":
    """Return the valid part of a report: rows in which a word is missing or is no text are left out."""
    needed = {
        "next_steps": ("id", "what", "why"),
        "expected_outcomes": ("target", "expected", "observed"),
        "incidents": ("id", "what", "remedy"),
    }
    lists = {key: [row for row in _list(report.get(key)) if _has(row, words)] for key, words in needed.items()}
    texts = {key: value if isinstance(value := report.get(key), str) else None for key in ("run_id", "stage")}
    number = report.get("round")
    units = {name: n for name, n in _mapping(report.get("units")).items() if isinstance(n, int)}
    return {**lists, **texts, "round": number if isinstance(number, int) else None, "units": units}


def _has(row: "Any", words: "tuple[str, ...]") -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(word), str) for word in words)


def _list(value: "Any") -> "list[Any]":
    return value if isinstance(value, list) else []


def _mapping(value: "Any") -> "dict[str, Any]":
    return value if isinstance(value, dict) else {}


def _moment(state: "Mapping[str, Any]") -> "dict[str, Any]":
    return {"at_s": state.get("at_s"), "boot_id": state.get("boot_id")}


def _answer(state: "Mapping[str, Any]", now: "Mapping[str, Any]") -> "dict[str, Any]":
    report, age_s = state["report"], _age_s(state)
    kept = {key: report.get(key) or [] for key in ("next_steps", "expected_outcomes", "incidents")}
    return {
        "at": state["at"],
        "age_s": None if age_s is None else round(age_s, 1),
        "stale": None,
        "as_of": "its manager has not cycled yet" if age_s is None else f"its manager looked {_span(age_s)} ago",
        "cycle": state["cycle"],
        **{key: now.get(key, report.get(key)) for key in ("run_id", "stage", "units", "round")},
        **kept,
    }


# the files at this moment ---------------------------------------------------------------------------------------------


def _run(folder: str, recorded: "str | None") -> "dict[str, Any]":
    """Return where the run stands by its own files; "" values when they do not lie beside the state file (a copy)."""
    pointer = _json(os.path.join(folder, "current_run.json")) or {}
    named = pointer.get("run_id")
    run_id = named if isinstance(named, str) and named and "/" not in named and "\0" not in named else recorded
    run = os.path.join(folder, "runs", str(run_id))
    order = _json(os.path.join(run, "order.json"))
    if order is None or not all(isinstance(one, str) for key in ("symbols", "modes") for one in _names(order, key)):
        return {}
    numbers = sorted(name[6:] for name in os.listdir(run) if name.startswith("round-"))
    here = os.path.join(run, f"round-{numbers[-1]}") if numbers else ""
    jobs = standing.jobs(_lines(os.path.join(here, "jobs.jsonl"))) if here else {}
    dropped = _mapping((_json(os.path.join(here, "begun.json")) or {}).get("dropped"))
    words = _words(order, standing.units(jobs), dropped) if jobs else []
    finished = _json(os.path.join(run, "finished.json"))
    return {
        "run_id": run_id,
        "round": int(numbers[-1]) if numbers else -1,
        "units": standing.counts(words),
        "stage": "complete" if finished is not None else standing.summary(words) or "scheduling",
        "open": sum(job.status in ("pending", "running") for job in jobs.values() if job.phase in standing.WORDS),
    }


def _words(order: "Mapping[str, Any]", rows: "Mapping[Any, Any]", dropped: "Mapping[str, str]") -> "list[str]":
    units = [(symbol, mode) for symbol in _names(order, "symbols") for mode in _names(order, "modes")]
    return [standing.FAILED if " ".join(one) in dropped else standing.word(rows.get(one, ())) for one in units]


def _names(order: "Mapping[str, Any]", key: str) -> "list[Any]":
    return _list(order.get(key))


def _brought_up_to_date(
    answer: "Mapping[str, Any]", state: "Mapping[str, Any]", now: "Mapping[str, Any]"
) -> "dict[str, Any]":
    """Replace next steps that no longer fit, because their run is complete or is no longer the current run."""
    if not now:
        return {}
    report, wrong = state["report"], {one.get("id") for one in answer["incidents"]}
    is_same = report.get("run_id") == now["run_id"]
    steps = [one for one in answer["next_steps"] if is_same and one["id"] in wrong]
    polls = _step(_IDLE, "nothing else to do by hand", "nothing is left to compute; the agents keep watching")
    if now["stage"] == "complete":
        return {"next_steps": [*steps, _results("all rounds are done"), polls]}
    if is_same and report.get("stage") != "complete":
        steps = [one for one in answer["next_steps"] if one["id"] != _IDLE]
    some = "1 job of round {} is open" if now["open"] == 1 else f"{now['open']} jobs of round {{}} are open"
    open_jobs = some.format(max(0, now["round"]) + 1)
    known: dict[str, Any] = {} if is_same else {"incidents": [], "expected_outcomes": []}
    by_hand = "nothing else to do by hand" if steps else "nothing to do by hand"
    return {**known, "next_steps": [*steps, _step(_IDLE, by_hand, open_jobs)]}


def _stopped(stopped: "Mapping[str, Any]", now: "Mapping[str, Any]") -> "dict[str, Any]":
    """Return the answer after a stop, since which no agent has cycled."""
    why = "stopped at {} by {}".format(stopped.get("at"), stopped.get("by"))
    go_on = _step("start_again", "scripts/backtest-optimize start", why)
    step = _results(why) if now.get("stage") == "complete" else go_on
    return {
        "stage": "stopped",
        "as_of": why[len("stopped ") :],
        "next_steps": [step],
        "expected_outcomes": [],
        "incidents": [],
    }


def _results(why: str) -> "dict[str, Any]":
    return _step("read_results", "scripts/backtest-optimize results", why)


def _step(name: str, what: str, why: str, actionable: bool = False) -> "dict[str, Any]":
    return {"id": name, "what": what, "why": why, "actionable": actionable}


# the age of the record ------------------------------------------------------------------------------------------------


def _why_stale(state: "Mapping[str, Any]", folder: str, name: str) -> str:
    """Say why the record can no longer be relied on; "" while it can."""
    age_s = _age_s(state)
    recorded = _mapping((_json(os.path.join(folder, "swarm.json")) or {}).get("fresh_for_s")).get(name)
    patience_s = float(recorded or 0) if _is_number(recorded) else _PATIENCE_S
    wrote = f"{AGENT} wrote its record {_span(age_s or 0.0)} ago"
    if _boot_id() not in (None, state["boot_id"]):
        return f"{wrote}, before this machine was restarted"
    life = _life(os.path.join(folder, "loops", f"{AGENT}.json"))
    if life in ("dead", "stopped"):
        return f"{wrote}, and its loop is {life}"
    if age_s is None or age_s > patience_s:
        return f"{wrote}, more than the usual {patience_s:.0f} s: it does not cycle"
    return ""


def _stale(why: str, answer: "Mapping[str, Any]") -> "dict[str, Any]":
    """Return the answer of a record that is too old: it says so, and leaves out what only a live manager knows."""
    name = f"agent_stale:{AGENT}"
    what = f"incidents and next steps may be out of date: {why}"
    one = {"id": name, "what": what, "remedy": f"type: {ENSURE}", "actionable": False}
    steps = [step for step in answer["next_steps"] if step["id"] not in (_IDLE, name)]
    return {
        "stale": why,
        "incidents": [one, *(i for i in answer["incidents"] if i.get("id") != name)],
        "next_steps": [_step(name, f"type: {ENSURE}", what), *steps],
        "expected_outcomes": [],
    }


def _age_s(state: "Mapping[str, Any]") -> "float | None":
    """Return the record's age by the monotonic clock, which nobody can set, else by the date."""
    at_s: Any = state.get("at_s")
    boot_id = _boot_id()
    if _is_number(at_s) and boot_id is not None and state["boot_id"] == boot_id:
        return max(0.0, time.monotonic() - float(at_s))
    if state["at"] is None:
        return None
    from datetime import datetime

    try:
        then = datetime.fromisoformat(state["at"].replace("Z", "+00:00"))  # Python before 3.11 does not accept Z
        return max(0.0, time.time() - then.timestamp())
    except (ValueError, OverflowError):
        return None


def _is_number(value: "Any") -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def _boot_id() -> "str | None":
    try:
        with open(_BOOT, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def _namespace() -> "int | None":
    """Return the id of this PID namespace; None without /proc."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _life(path: str) -> str:
    """Return whether the process of that record is running, stopped, dead or unknown."""
    one = _mapping((_json(path) or {}).get("identity"))
    is_ours = one.get("boot_id") == _boot_id() and _is_number(one.get("pid")) and _is_number(one.get("start_ticks"))
    if not is_ours or not os.path.isdir("/proc/self"):
        return "unknown"
    if one.get("namespace", 0) not in (0, _namespace()):
        return "unknown"
    try:
        with open("/proc/{}/stat".format(one["pid"]), encoding="utf-8", errors="replace") as file:
            after = file.read().rpartition(")")[2].split()
    except OSError:
        return "dead"
    if int(after[19]) != one["start_ticks"] or after[0] == "Z":
        return "dead"
    return "stopped" if after[0] in "Tt" else "running"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


# files ----------------------------------------------------------------------------------------------------------------


def _json(path: str) -> "dict[str, Any] | None":
    try:
        value = json.loads(plain_file.read(path))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _lines(path: str) -> "list[Any]":
    try:
        lines = plain_file.lines(path, _LONGEST_LINE)
    except OSError:
        return []
    return [value for value in map(_decoded, lines) if value is not None]


def _decoded(line: bytes) -> "Any":
    try:
        return json.loads(line) if len(line) <= _LONGEST_LINE else None
    except (ValueError, RecursionError):
        return None
