"""Kinds of failure. Two failures are of one kind when their words agree, apart from numbers, ids and paths."""

import re
import signal
from collections.abc import Mapping
from typing import Any

from state.files import digest
from state.records.healing import REMEDIES
from state.records.jobs import PHASES

# Events that tell of no failure. Every other event is remembered, also one that this version does not know.
_NO_FAILURES = frozenset({"incident_closed", "over", "stage", "skip_gpu_actions_no_gpu_detected", *REMEDIES})
_SIGNAL = re.compile(r"\bsignal (\d+)\b")
_PATH = re.compile(r"(?<!\w)/[^\s:,;]+")
_WITH_DIGIT = re.compile(r"\S*\d\S*")
_LONGEST = 300  # characters of an example


def of(source: str, record: Mapping[str, Any]) -> str | None:
    """Return the signature of the failure that `record` tells of; None when it tells of no failure."""
    if not isinstance(record.get("event"), str) or record["event"] in _NO_FAILURES:
        return None
    words = f"{source} {kind(record)} {without_numbers(text(record))}"
    return digest.short(words.encode())


def kind(record: Mapping[str, Any]) -> str:
    """Return the event and what it is about, as in `died prescreen` or `incident_opened disk_full`."""
    about = str(record.get("id", "")).partition(":")[0] or _phase(str(record.get("job_id", "")))
    return f"{record['event']} {about}".strip()


def text(record: Mapping[str, Any]) -> str:
    """Return the record's own description of the failure; "" when it has none."""
    said = (record.get(key) for key in ("error_message", "what", "reason", "why"))
    return next((one for one in said if isinstance(one, str) and one), "")


def example(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what people need to find this failure again: time, run, job, incident, and what was said."""
    known = {key: str(record[key])[:_LONGEST] for key in ("at", "run_id", "job_id", "id") if record.get(key)}
    return {**known, "said": text(record)[:_LONGEST]}


def without_numbers(said: str) -> str:
    """Return the words without numbers. A signal's number becomes its name, because 9 and 11 are different failures."""
    # Signals are named before numbers are replaced; paths are replaced first because they may hold words with digits.
    named = _SIGNAL.sub(lambda match: f"signal {_signal_name(int(match[1]))}", said)
    return " ".join(_WITH_DIGIT.sub("#", _PATH.sub("<path>", named)).split())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _phase(job_id: str) -> str:
    return next((part for part in job_id.split(".") if part in PHASES), "")
