"""Where a run stands, by its units (symbol and mode): `2 validating, 1 searching, 1 complete`.

Agents derive it from the jobs that they see, and `--query` from the job journal, on a Python that may have no packages.
So this module holds only what both need, and imports only types.
"""

TYPE_CHECKING = False  # type checkers take it as true; importing `typing` would cost as much time as all the rest
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

# The words for a unit in each phase: while a worker works on it, and while none does. In the order of the phases.
WORDS = {
    "preflight": ("in preflight", "waiting for preflight"),
    "prescreen": ("prescreening", "waiting to prescreen"),
    "merge": ("merging", "waiting to merge"),
    "search": ("searching", "waiting to search"),
    "validate": ("validating", "waiting to validate"),
    "report": ("reporting", "waiting to report"),
}
COMPLETE, FAILED = "complete", "failed"
_PHASES = tuple(WORDS)
_RANK = (*(WORDS[one][0] for one in reversed(_PHASES)), *(WORDS[one][1] for one in reversed(_PHASES)), COMPLETE)
_ENDS = ("failed", "cancelled", "quarantined")
_STATUS = {"started": "running", "died": "pending", "completed": "completed", **{end: end for end in _ENDS}}
_OPEN = ("pending", "running")


class JobStanding:
    """One job by the journal. `since` is the time of its last change of status, "" when that is not on record."""

    __slots__ = ("hand", "phase", "since", "status", "unit")

    def __init__(self, tree: "Mapping[str, Any]", status: str, since: str) -> None:
        self.unit = (str(tree["symbol"]), str(tree["mode"]))
        self.phase, self.hand = str(tree["phase"]), bool(tree.get("hand", False))
        self.status, self.since = status, since


def word(jobs: "Iterable[tuple[str, str]]") -> str:
    """Return the word for one unit, from phase and status of its jobs; hands must be left out."""
    rows = [row for row in jobs if row[0] in WORDS]
    bad = next((status for _, status in rows if status in _ENDS), "")
    if bad:
        return bad
    if ("report", "completed") in rows:
        return COMPLETE
    newest = max((phase for phase, _ in rows), key=_PHASES.index, default=_PHASES[0])
    here = [status for phase, status in rows if phase == newest]
    # All jobs of the latest phase are done and the next are not enqueued yet: the unit waits for the next phase.
    if here and all(status == "completed" for status in here):
        return WORDS[_PHASES[_PHASES.index(newest) + 1]][1]
    return WORDS[newest][0 if "running" in here else 1]


def counts(words: "Iterable[str]") -> "dict[str, int]":
    """Count the words: first units at work, then those that wait, then complete ones; later phases come first."""
    found: dict[str, int] = {}
    for one in words:
        found[one] = found.get(one, 0) + 1
    order = sorted(found, key=lambda one: (_RANK.index(one) if one in _RANK else len(_RANK), one))
    return {one: found[one] for one in order}


def summary(words: "Iterable[str]") -> str:
    """Return the counts as a text, as in `2 validating, 1 searching`."""
    return ", ".join(f"{number} {one}" for one, number in counts(words).items())


def kinds(stage: str) -> "frozenset[str]":
    """Return the words of a stage without their numbers, so that only a change of phases counts as a change."""
    return frozenset(part.strip().lstrip("0123456789") for part in stage.split(","))


def jobs(records: "Iterable[Any]") -> "dict[str, JobStanding]":
    """Replay a job journal, and return each job by its id. A test compares this with `jobs.fold` beside this module.

    Invalid lines are skipped.
    """
    found: dict[str, JobStanding] = {}
    for record in records:
        if not isinstance(record, dict):
            continue
        try:
            _apply(found, record, record.get("event"))
        except (KeyError, TypeError, AttributeError):
            continue
    return found


def _apply(found: "dict[str, JobStanding]", record: "Mapping[str, Any]", event: "Any") -> None:
    at = str(record.get("at", ""))
    if event == "enqueued":
        found.setdefault(name(record["job"]), JobStanding(record["job"], "pending", at))
    elif event == "compacted":  # the time of this record is that of the compaction, so it says nothing about the job
        tree = record["state"]["job"]
        found[name(tree)] = JobStanding(tree, str(record["state"].get("status", "pending")), "")
    elif event == "withdrawn":
        found.pop(str(record["job_id"]), None)
    elif event == "reopened":
        job = found[str(record["job_id"])]
        job.status, job.since = "pending", at
    elif event in _STATUS:
        job = found[str(record["job_id"])]
        if job.status in _OPEN:  # a job that is over stays over: a late record of an older worker changes nothing
            job.status, job.since = _STATUS[event], at


def name(tree: "Mapping[str, Any]") -> str:
    """Return the id of the job that a record enqueues."""
    return "r{}.{}.{}.{}.{}".format(tree["round"], tree["symbol"], tree["mode"], tree["phase"], tree.get("shard", 0))


def units(found: "Mapping[str, JobStanding]") -> "dict[tuple[str, str], list[tuple[str, str]]]":
    """Return phase and status of the jobs of every unit, without hands."""
    rows: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for job in found.values():
        if not job.hand:
            rows.setdefault(job.unit, []).append((job.phase, job.status))
    return rows
