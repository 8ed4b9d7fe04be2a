#!/usr/bin/env python3
"""Audit the swarm once: does it keep its own rules (adherence), and does that help (efficacy)? It changes nothing."""

if __name__ == "__main__" and not __package__:
    try:
        import _checkout  # puts the checkout first on sys.path, in its virtual environment
    except ModuleNotFoundError:
        raise SystemExit(f"error: {__file__} needs its checkout: copy the whole checkout, then run it there") from None

import argparse
import json
import sys
from typing import TYPE_CHECKING

from state.host import command

if TYPE_CHECKING:
    from state.records.reports import AuditorReport

EPILOG = """\
example:
  scripts/process_auditor.py --json

exit codes: 0 every check that can be judged now holds, 1 at least one does not, 2 usage
"""
_WORDS = {True: "ok     ", False: "FAILED ", None: "unknown"}


def main(argv: "list[str] | None" = None) -> int:
    """Audit once and print the report; 1 when a check does not hold."""
    return command.run(_parser, _audited, argv)


def _parser() -> command.Parser:
    parser = command.Parser(prog="process_auditor.py", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "--json", action="store_true", help="one JSON object: scores, and every check with its evidence"
    )
    return parser


def _audited(asked: argparse.Namespace) -> int:
    from state.records.report_parts import on_record

    report = audit()
    print(json.dumps(on_record(report), indent=2) if asked.json else "\n".join(lines_of(report)))
    return 1 if report.failing else 0


def audit() -> "AuditorReport":
    """Return the report that the agent process_auditor would write now."""
    from agents.machine.observe import observe, resolved
    from agents.roles import process_auditor
    from state.files.layout import Roots

    roots = Roots.from_environment()
    limits = resolved(roots).swarm
    world = observe(roots, limits, process_auditor.AGENT.sees)
    return process_auditor.audited(world, limits)


def lines_of(report: "AuditorReport") -> "list[str]":
    """Return the report as lines to read: the scores, then the checks that fail, then the others."""
    scores = {"adherence": report.adherence, "efficacy": report.efficacy}
    said = (f"{name} {'unknown' if score is None else score}" for name, score in scores.items())
    lines = [f"{report.run_id or 'no run'} · {' · '.join(said)}"]
    for row in sorted(report.checks, key=lambda row: row.holds is not False):
        lines.append(f"  {_WORDS[row.holds]} {row.name}: {row.evidence}")
        if row.way_out:
            lines.append(f"          → {row.way_out}")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
