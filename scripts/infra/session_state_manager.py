#!/usr/bin/env python3
"""Continuity: stage, next steps, expected outcomes, incidents. `--query` needs only Python's standard library."""

import json
import os
import sys

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost as much as all the rest
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from typing import Any

    from state.host.command import Parser

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
EPILOG = """\
example:
  python3 scripts/infra/session_state_manager.py --query --json \\
      --state-file state/run/state/session_state_manager_state.json

Stage and units are read from the job journal at this moment. Next steps, incidents and expected outcomes are what the
agent session_state_manager wrote in its last cycle; the answer says how long ago that was.
Without --query it runs one cycle of the agent, as: python3 -m agents session_state_manager

exit codes: 0 answered (also when stopped on purpose), 1 nothing is on file yet, or its writer is dead or late and the
answer says so, 2 usage
"""
OLD = 1
_WAY_OUT = "start the swarm (bash scripts/start_swarm_watchdogs.sh), or name its --state-file"


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command."""
    from_here()
    from state.host import command

    return command.run(_parser, _answer, argv)


def _parser() -> "Parser":
    from state.host.command import Parser

    parser = Parser(description=__doc__, epilog=EPILOG, allow_abbrev=True)
    parser.add_argument("--query", action="store_true", help="answer from the records; runs nothing")
    parser.add_argument("--state-file", metavar="F", help="default: the one under STATE_ROOT")
    schema = "docs/reference/schemas/continuity.schema.json"
    parser.add_argument("--json", action="store_true", help=f"one JSON object; its schema: {schema}")
    return parser


def _answer(asked: "argparse.Namespace") -> int:
    if not asked.query:
        os.chdir(CHECKOUT)
        command = [os.path.join(CHECKOUT, "scripts", "backtest-optimize"), "cycle", "session_state_manager"]
        os.execv(command[0], command)
    path = asked.state_file or default_file()
    answer = read(path)
    print(json.dumps(answer, indent=2) if asked.json else in_words(answer))
    return OLD if answer["stale"] else 0


def from_here() -> None:
    """A Python that was started by this file's path knows nothing of the checkout."""
    if CHECKOUT not in sys.path:
        sys.path.insert(1, CHECKOUT)


def read(path: str) -> "Mapping[str, Any]":
    """The answer.

    Raises:
        Refused: there is no such file, or it is none of the manager's.
    """
    from config.errors import Refused
    from scripts.infra import continuity

    try:
        return continuity.read(path)
    except FileNotFoundError:
        raise Refused(*nothing_there(path)) from None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", _WAY_OUT) from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Refused(f"{path} is not a continuity state: {error}", _WAY_OUT) from error


def nothing_there(path: str) -> "tuple[str, str]":
    """Why there is no such file, and the way out: of a swarm that was started it comes, or its manager is dead."""
    if os.path.exists(os.path.join(os.path.dirname(path), "swarm.json")):
        ensure = "ask again in a moment; if that says the same: bash scripts/ensure_swarm_watchdogs.sh"
        return f"{path} is not there: session_state_manager has not cycled yet", ensure
    return f"{path}: No such file or directory", _WAY_OUT


def default_file() -> str:
    """The state file that the environment's roots name."""
    results = os.environ.get("RESULTS_ROOT") or os.path.join(CHECKOUT, "state", "run")
    state = os.environ.get("STATE_ROOT") or os.path.join(results, "state")
    return os.path.join(os.path.expanduser(state), "session_state_manager_state.json")


def in_words(answer: "Mapping[str, Any]") -> str:
    """The answer for people."""
    from config.errors import visible

    lines = ["{} · {} · {}".format(answer["run_id"] or "no run", answer["stage"], answer["as_of"])]
    lines += ["  ! {}".format(one["what"]) for one in answer["incidents"]]
    wrong = {one["what"] for one in answer["incidents"]}
    for one in answer["next_steps"]:
        why = "" if one["why"] in wrong else " ({})".format(one["why"])
        lines.append("  → {}{}".format(one["what"], why))
    return visible("\n".join(lines))


if __name__ == "__main__":
    sys.path[0] = str(CHECKOUT)
    from state.host import process

    process.begin()
    sys.exit(main())
