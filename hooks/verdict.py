"""What every gate answers."""

from config.record import dataclass


@dataclass(frozen=True)
class Verdict:
    """One gate's answer. `reason` names the value that was judged, also when it passed.

    `fix` is set when the gate gave no verdict because it is broken: that has not passed, and is an incident.
    """

    gate: str
    passed: bool
    reason: str
    path: str = ""  # of a gate of the user's
    fix: str = ""
