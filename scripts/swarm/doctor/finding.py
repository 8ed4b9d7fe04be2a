"""What a check answers, and what it may look at. Standard library only: a check imports what it needs when it runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from config.swarm import SwarmSettings
from state.files.layout import Roots

OK, NOTE, WARNING, ERROR, UNKNOWN = "ok", "note", "warning", "error", "unknown"
TO_FIX = (WARNING, ERROR, UNKNOWN)  # a check that could not be done is not well


@dataclass(frozen=True)
class Diagnosis:
    """`severity`: ok, note (good to know), warning (works, but …), error (does not work), unknown (could not look)."""

    severity: str
    finding: str
    cause: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Patient:
    """Where to look."""

    checkout: Path
    roots: Roots
    limits: SwarmSettings


@dataclass(frozen=True)
class Examination:
    """One thing to look at, in a process of its own that is ended at its deadline."""

    name: str
    look: Callable[[Patient], Iterator[Diagnosis]]
    deadline_s: float = 10.0


def ok(finding: str) -> Diagnosis:
    """All is well."""
    return Diagnosis(OK, finding)


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def others_can_write(path: Path) -> bool:
    """Whether somebody else than its owner may change it; false where it is not there."""
    try:
        return bool(path.stat().st_mode & 0o022)
    except OSError:
        return False
