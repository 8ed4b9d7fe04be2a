"""One cycle of one agent, by hand: `python3 -m agents NAME [--dry-run] [--replay FILE] [--json]`."""

import gc
import os
import sys
from typing import TYPE_CHECKING

from state.host import ending, process

if TYPE_CHECKING:
    from pathlib import Path

_EPILOG = """\
examples:
  python3 -m agents worker_sentry --dry-run             what it would do now, without doing it
  python3 -m agents worker_sentry                       one cycle
  python3 -m agents worker_sentry --replay state/run/state/cycles/worker_sentry.jsonl

exit codes: 0 done (also when another cycle is under way), 1 failed, or a replay by the same code differs, 2 usage
"""


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    # The plain call runs one cycle within a budget of 60 ms, of which argparse alone would take 8.
    is_plain = len(argv) == 1 and argv[0][0] != "-"
    return ending.ended(lambda: _cycle(argv[0]) if is_plain else _asked(argv), "--json" in argv)


def _asked(argv: list[str]) -> int:
    from pathlib import Path

    from agents.registry import AGENTS
    from state.host import command

    parser = command.Parser(prog="python3 -m agents", description=__doc__, epilog=_EPILOG, allow_abbrev=True)
    parser.add_argument("name", choices=[row.name for row in AGENTS], metavar="NAME")
    parser.add_argument("--dry-run", action="store_true", help="decide, and change nothing")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="decide again on the worlds of a cycle journal")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(argv)
    from state.files import private

    private.close()
    return _replay(asked.replay, asked.name) if asked.replay else _cycle(asked.name, asked.dry_run, asked.json)


def _cycle(name: str, dry_run: bool = False, as_json: bool = False) -> int:
    from agents.registry import AGENTS
    from agents.runtime import cycle
    from config.errors import Refused
    from state.files.layout import Roots

    if name not in {row.name for row in AGENTS}:
        return _asked([name])  # its error names the agents that exist
    try:
        done = cycle.run_cycle(name, Roots.from_environment(), dry_run)
    except cycle.Held as held:
        print(held, file=sys.stderr)
        return 0
    except cycle.NewerSchema as newer:
        raise Refused(str(newer), "run the newer checkout, which wrote it; this one changes nothing there") from newer
    if as_json:
        import json

        from config.record import asdict

        print(json.dumps(asdict(done), indent=2))
        return 0
    print(f"{name}, cycle {done.cycle}{' (dry run)' if dry_run else ''}: {done.reason}")
    for action in done.actions:
        came = action.get("outcome", f"would be done; expected: {action['expected']}")
        print(f"  {action['kind']} {action['target']}: {came}")
    return 0


def _replay(path: "Path", name: str) -> int:
    from agents.runtime import cycle
    from config.errors import Refused
    from state.files.journal import Journal
    from state.host import code

    if not path.is_file():
        raise Refused(f"there is no {path}", "cycle journals lie in STATE_ROOT/cycles")
    same = differ = older = 0
    for record in Journal(path).read().records:
        if record.get("agent") != name or "world" not in record:
            continue
        if cycle.replays(record):
            same += 1
        elif record.get("code") != code.running():  # recorded before an upgrade, which may decide otherwise on purpose
            older += 1
        else:
            differ += 1
            print(f"cycle {record['cycle']} of {record['at']} decides otherwise now")
    of_other_code = f", {older} were decided otherwise by other code" if older else ""
    print(f"{same} recorded decisions are the same, {differ} differ{of_other_code}")
    return 1 if differ or not same + older else 0


if __name__ == "__main__":
    gc.disable()  # one cycle leaves nothing worth collecting, and collecting takes a quarter of its time
    process.begin()
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
