#!/usr/bin/env python3
"""Say whether the hardware is used as it should be, by the watchdog's report alone; nothing is measured here."""

if __name__ == "__main__" and not __package__:
    try:
        import _checkout  # puts the checkout first on sys.path, in its virtual environment
    except ModuleNotFoundError:
        raise SystemExit(f"error: {__file__} needs its checkout: copy the whole checkout, then run it there") from None

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from config.errors import Refused
from config.record import asdict
from hooks.verdict import Verdict
from state.files import snapshot
from state.files.layout import Roots
from state.host import command

GATE = "hardware_capacity"
_EPILOG = """\
example:
  hooks/hardware_capacity_watchdog.py --json

exit codes: 0 within targets, or nothing to do; 1 below a target, unknown, or no report; 2 usage
"""


def judge(report: Mapping[str, Any]) -> list[Verdict]:
    """Return a verdict on the CPUs, one on the GPUs, and one on jobs for a GPU that ran on the CPU unasked."""
    return [_use("cpu", report), _gpu(report), _fallback(report)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; `--help` shows its flags and exit codes."""
    return command.run(_parser, _judged, argv)


def _parser() -> command.Parser:
    parser = command.Parser(description=__doc__, epilog=_EPILOG, is_older=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _judged(asked: argparse.Namespace) -> int:
    verdicts = _verdicts(Roots.from_environment())
    passed = all(one.passed for one in verdicts)
    if asked.json:
        shown = [{key: value for key, value in asdict(one).items() if value != ""} for one in verdicts]
        print(json.dumps({"passed": passed, "verdicts": shown}, indent=2))
    else:
        for one in verdicts:
            print(f"{'ok   ' if one.passed else 'below'} {one.gate}: {one.reason}")
    return 0 if passed else 1


def _verdicts(roots: Roots) -> list[Verdict]:
    if roots.tombstone.exists():
        return [Verdict(GATE, True, "the swarm is stopped on purpose")]
    path = roots.agent_state("watchdog")
    state = snapshot.read_json(path)
    if not isinstance(state, dict) or not isinstance(state.get("report"), dict):
        raise Refused(
            f"{path} holds no report of the watchdog", "start the swarm: bash scripts/start_swarm_watchdogs.sh"
        )
    return judge(state["report"])


def _use(kind: str, report: Mapping[str, Any]) -> Verdict:
    """Return the verdict on `kind` (cpu or gpu): while jobs wait, its use must reach the target."""
    used, queue = report.get(f"{kind}_pct"), report.get("queue")
    target = (report.get("targets") or {}).get(f"{kind}_pct", 0)
    gate, name = f"{GATE}:{kind}", kind.upper()
    if queue is None:
        return Verdict(gate, False, f"how many jobs wait is unknown ({name} at {_percent(used)})")
    if queue == 0:
        return Verdict(gate, True, f"no job waits ({name} at {_percent(used)})")
    said = f"{name} at {_percent(used)} of {target:g} % with {queue} jobs waiting"
    return Verdict(gate, used is not None and used >= target, said)


def _gpu(report: Mapping[str, Any]) -> Verdict:
    gpus = report.get("gpus")
    if gpus is None:
        return Verdict(f"{GATE}:gpu", False, "the driver gave no answer: whether there is a GPU is unknown")
    if not gpus:
        return Verdict(f"{GATE}:gpu", True, "there is no GPU, so none is asked to work")
    return _use("gpu", report)


def _fallback(report: Mapping[str, Any]) -> Verdict:
    """Return the verdict on fallbacks: the plan must use a GPU that is there, and no job for it may run on the CPU."""
    gate = f"{GATE}:no_silent_fallback"
    jobs = report.get("gpu_fallbacks") or []
    if jobs:
        return Verdict(gate, False, f"meant for the GPU and run on the CPU: {', '.join(map(str, jobs))}")
    if report.get("gpus") and report.get("gpu_plan") == "cpu_only":
        return Verdict(gate, False, f"{len(report['gpus'])} GPUs are there and the plan is cpu_only")
    return Verdict(gate, True, "no work left a GPU unasked")


def _percent(used: float | None) -> str:
    return "unknown" if used is None else f"{used:g} %"


if __name__ == "__main__":
    sys.exit(main())
