#!/usr/bin/env python3
"""Continuity: stage, next steps, expected outcomes, incidents. `--query` needs only Python's standard library."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

CHECKOUT = Path(__file__).resolve().parent.parent.parent
EPILOG = """\
example:
  python3 scripts/infra/session_state_manager.py --query --json \\
      --state-file state/run/state/session_state_manager_state.json

Without --query it runs one cycle of the agent, as: python -m agents session_state_manager

exit codes: 0 answered, 1 there is no such state yet, 2 usage
"""
KEYS = ("run_id", "stage", "round", "next_steps", "expected_outcomes", "incidents")


class Parser(argparse.ArgumentParser):
    """Errors begin with `error:`, as those of every other command; scripts.swarm is not to be had here."""

    def error(self, message: str) -> "NoReturn":
        """Say it and leave."""
        self.exit(2, f"error: {message}\n  → {self.prog} --help\n")


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command."""
    parser = Parser(description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--query", action="store_true", help="answer from the state file")
    parser.add_argument("--state-file", type=Path, metavar="F", help="default: the one under STATE_ROOT")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args(argv)
    if not asked.query:
        os.chdir(str(CHECKOUT))
        command = [str(CHECKOUT / "scripts" / "backtest-optimize"), "cycle", "session_state_manager"]
        os.execv(command[0], command)
    path = asked.state_file or default_file()
    try:
        answer = read(path)
    except OSError as error:
        return failed(f"{path}: {error.strerror}", asked.json)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        return failed(f"{path} is no continuity state: {error}", asked.json)
    print(json.dumps(answer, indent=2) if asked.json else in_words(answer))
    return 0


def read(path: Path) -> "dict[str, Any]":
    """The answer in the state file; after a stop nobody has cycled since, and the tombstone tells."""
    state = json.loads(path.read_text(encoding="utf-8"))
    answer = {"at": state["at"], "cycle": state["cycle"], **{key: state["report"].get(key) for key in KEYS}}
    tombstone = path.parent / "stopped.json"
    if tombstone.exists():
        stopped = json.loads(tombstone.read_text(encoding="utf-8"))
        why = "stopped at {} by {}".format(stopped["at"], stopped["by"])
        go_on = {"id": "start_again", "what": "scripts/backtest-optimize start", "why": why, "actionable": False}
        if (path.parent / "runs" / str(answer["run_id"]) / "finished.json").exists():
            go_on.update(id="read_results", what="scripts/backtest-optimize results")
        answer.update(stage="stopped", next_steps=[go_on], expected_outcomes=[], incidents=[])
    return answer


def failed(why: str, as_json: bool) -> int:
    """Say why, and the way out."""
    way_out = "start the swarm (bash scripts/start_swarm_watchdogs.sh), or name its --state-file"
    if as_json:
        print(json.dumps({"error": why, "way_out": way_out}, indent=2))
    print(f"error: {why}\n  → {way_out}", file=sys.stderr)
    return 1


def default_file() -> Path:
    """The state file that the environment's roots name."""
    results = Path(os.environ.get("RESULTS_ROOT") or CHECKOUT / "state" / "run")
    return Path(os.environ.get("STATE_ROOT") or results / "state") / "session_state_manager_state.json"


def in_words(answer: "Mapping[str, Any]") -> str:
    """The answer for people."""
    lines = ["{} · {} · as of {}".format(answer["run_id"] or "no run", answer["stage"], answer["at"])]
    lines += ["  ! {}".format(one["what"]) for one in answer["incidents"] or []]
    wrong = {one["what"] for one in answer["incidents"] or []}
    for one in answer["next_steps"] or []:
        why = "" if one["why"] in wrong else " ({})".format(one["why"])
        lines.append("  → {}{}".format(one["what"], why))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
