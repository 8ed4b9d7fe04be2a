#!/usr/bin/env python3
"""Show continuity: stage, next steps, expected outcomes, incidents. `--query` needs only the standard library."""

import json
import os
import sys

TYPE_CHECKING = False  # type checkers take this for true; importing `typing` would cost as much as all the rest
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
Without --query, the command runs one cycle of the agent, like: python3 -m agents session_state_manager

exit codes: 0 answered (also after a stop), 1 there is no record yet, or its writer is dead or late and the answer says
so, 2 usage
"""
OLD = 1
_WAY_OUT = "start the swarm (bash scripts/start_swarm_watchdogs.sh), or name its --state-file"


def main(argv: "Sequence[str] | None" = None) -> int:
    """Answer the query, or run one cycle of the agent."""
    from_here()
    from state.host import command

    return command.run(_parser, _answer, argv)


def _parser() -> "Parser":
    from state.host.command import Parser

    parser = Parser(description=__doc__, epilog=EPILOG, allow_abbrev=True)
    parser.add_argument("--query", action="store_true", help="answer from the records; run nothing")
    parser.add_argument("--state-file", metavar="F", help="the manager's state file (default: under STATE_ROOT)")
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
    """Put the checkout on `sys.path`: Python was started with the path of this file and does not know it."""
    if CHECKOUT not in sys.path:
        sys.path.insert(1, CHECKOUT)


def read(path: str) -> "Mapping[str, Any]":
    """Return the answer.

    Raises:
        Refused: there is no such file, or it is not the manager's.
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
    """Return why there is no such file, and the way out: in a started swarm it comes soon, or the manager is dead."""
    if os.path.exists(os.path.join(os.path.dirname(path), "swarm.json")):
        ensure = "ask again in a moment; if that says the same: bash scripts/ensure_swarm_watchdogs.sh"
        return f"{path} is not there: session_state_manager has not cycled yet", ensure
    return f"{path}: No such file or directory", _WAY_OUT


def default_file() -> str:
    """Return the state file in the root that the environment names."""
    results = os.environ.get("RESULTS_ROOT") or os.path.join(CHECKOUT, "state", "run")
    state = os.environ.get("STATE_ROOT") or os.path.join(results, "state")
    return os.path.join(os.path.expanduser(state), "session_state_manager_state.json")


def in_words(answer: "Mapping[str, Any]") -> str:
    """Return the answer as lines to read."""
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
