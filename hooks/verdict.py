"""The answer of a gate."""

from config.record import dataclass


@dataclass(frozen=True)
class Verdict:
    """One gate's answer. `reason` names the value that was judged, also when the gate passed.

    `fix` says what to do when the gate is broken and gave no verdict. Such a gate has not passed, and is an incident.
    """

    gate: str
    passed: bool
    reason: str
    path: str = ""  # of the user's hook; "" for a gate of ours
    fix: str = ""
