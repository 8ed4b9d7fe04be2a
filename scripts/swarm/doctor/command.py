"""`doctor`: every check in order, each in a child of its own with a deadline, so that none of them can hang us."""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import NoReturn

from config.errors import Refused, visible
from scripts.swarm import cli
from scripts.swarm.doctor import machine, records, software
from scripts.swarm.doctor.finding import NOTE, OK, TO_FIX, UNKNOWN, WARNING, Diagnosis, Examination, Patient
from state.files.layout import CHECKOUT, Roots
from state.host import command

CHECKS: tuple[Examination, ...] = (
    Examination("python", software.here),
    Examination("virtual environment", software.venv, 90.0),
    Examination("tmux", software.tmux, 20.0),
    Examination("limits", machine.processes_and_files),
    Examination("cpu", machine.cpu),
    Examination("memory", machine.memory),
    Examination("disk", machine.disk, 20.0),
    Examination("gpu", machine.gpu, 20.0),
    Examination("locks", records.locks),
    Examination("clock", machine.clock),
    Examination("state files", records.state_files),
    Examination("files of others", records.strangers, 20.0),
    Examination("keeper", records.keeper),
    Examination("settings", records.surroundings),
    Examination("swarm", records.swarm, 20.0),
)
_SIGNS = {OK: "ok     ", NOTE: "note   ", WARNING: "warning", UNKNOWN: "unknown"}


def main(argv: list[str]) -> int:
    """The command."""
    parser = command.parser(
        "backtest-optimize doctor",
        "Look at everything the swarm stands on: virtual environment, tmux, limits, disk, GPU, locks, clock, state "
        "files, files of others, keeper, settings. Every finding has its cause and its fix; nothing is changed.",
        "scripts/backtest-optimize doctor",
        "0 all is well, 1 something is to be fixed, 2 usage",
        "healthy, and one object a finding; its schema: docs/reference/schemas/doctor.schema.json",
    )
    asked = parser.parse_args(argv)
    found: list[tuple[Examination, Diagnosis]] = []
    for check, findings in examine(CHECKS, _patient()):
        found += [(check, one) for one in findings]
        if not asked.json:
            _print(check, findings)
    wrong = [one for _check, one in found if one.severity in TO_FIX]
    if asked.json:
        rows = [{"check": check.name, **asdict(one)} for check, one in found]
        cli.say({"healthy": not wrong, "findings": rows})
    else:
        print(f"\n{len(wrong)} to fix" if wrong else "\nall is well")
    return 1 if wrong else 0


def examine(checks: Iterable[Examination], patient: Patient) -> Iterable[tuple[Examination, list[Diagnosis]]]:
    """Every check with what it found, one after the other."""
    for check in checks:
        if sys.stderr.isatty():
            print(f"\r\033[Klooking at {check.name} …", end="", file=sys.stderr, flush=True)
        found = _in_a_child(check, patient)
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        yield check, found


def _patient() -> Patient:
    """Settings that cannot be read are a finding of their own; the other checks go on with the defaults."""
    from config import settings

    try:
        limits = settings.load().swarm
    except Refused:
        limits = settings.load({}).swarm
    except ImportError:  # beside a broken environment there may be no YAML
        limits = settings.swarm_defaults()
    return Patient(CHECKOUT, Roots.from_environment(), limits)


def _in_a_child(check: Examination, patient: Patient) -> list[Diagnosis]:
    """A look at a dead disk or driver may never come back; its child is then left behind."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reads)
        _child(check, patient, writes)
    os.close(writes)
    try:
        answer = _read(reads, check.deadline_s)
    finally:
        os.close(reads)
        _end(pid)
    if answer is None:
        cause = f"the look took longer than {check.deadline_s:g} s: a disk, a driver or a server that gives no answer"
        return [Diagnosis(UNKNOWN, "could not be looked at", cause, "look at dmesg; then type doctor again")]
    try:
        return [Diagnosis(**row) for row in json.loads(answer)]
    except (ValueError, TypeError):
        return [Diagnosis(UNKNOWN, "could not be looked at", "the look was cut short", "type doctor again")]


def _child(check: Examination, patient: Patient, writes: int) -> NoReturn:
    """Look, answer, leave without any of the parent's clean-up."""
    try:
        try:
            found = list(check.look(patient))
        except Refused as refusal:
            found = [Diagnosis("error", refusal.reason, "the settings, or a path", refusal.way_out)]
        except ImportError as error:
            fix = "see what doctor says of the virtual environment"
            found = [Diagnosis(UNKNOWN, "could not be looked at", str(error), fix)]
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            found = [Diagnosis(UNKNOWN, "could not be looked at", said, "fix what it names, then type doctor again")]
        data = json.dumps([asdict(one) for one in found]).encode()
        while data:
            data = data[os.write(writes, data) :]
    finally:
        os._exit(0)


def _read(descriptor: int, deadline_s: float) -> bytes | None:
    """All the child says until it closes its end; None at the deadline."""
    until, data = time.monotonic() + deadline_s, b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        if not (more := os.read(descriptor, 65_536)):
            return data
        data += more


def _end(pid: int) -> None:
    """KILL is not heard by a process that waits for a dead disk: it is not waited for."""
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 1.0
    while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
        select.select([], [], [], 0.01)


def _print(check: Examination, findings: list[Diagnosis]) -> None:
    for one in findings:
        print(visible(f"{_SIGNS.get(one.severity, 'ERROR  ')} {check.name}: {one.finding}"))
        if one.cause:
            print(visible(f"          because {one.cause}" if one.severity != NOTE else f"          {one.cause}"))
        if one.fix:
            print(visible(f"          → {one.fix}"))
    sys.stdout.flush()
