"""What every gate answers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """One gate's answer. `reason` names the value that was judged, also when it passed."""

    gate: str
    passed: bool
    reason: str
