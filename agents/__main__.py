"""One cycle of one agent, by hand: `python -m agents NAME [--dry-run] [--replay FILE] [--json]`."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from agents.registry import AGENTS
from agents.runtime import cycle
from config.errors import Refused
from state import codec
from state.journal import Journal
from state.layout import Roots

_EPILOG = """\
examples:
  python -m agents worker_sentry --dry-run             what it would do now, without doing it
  python -m agents worker_sentry                       one cycle
  python -m agents worker_sentry --replay state/run/state/cycles/worker_sentry.jsonl

exit codes: 0 done (also when another cycle is under way), 1 failed, or a replay that differs, 2 usage
"""


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m agents",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[row.name for row in AGENTS], metavar="NAME")
    parser.add_argument("--dry-run", action="store_true", help="decide, and change nothing")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="decide again on the worlds of a cycle journal")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(argv)
    try:
        return _replay(asked.replay, asked.name) if asked.replay else _cycle(asked.name, asked.dry_run, asked.json)
    except Refused as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 1
    except (cycle.NewerSchema, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _cycle(name: str, dry_run: bool, as_json: bool) -> int:
    try:
        done = cycle.run_cycle(name, Roots.from_environment(), dry_run)
    except cycle.Held as held:
        print(held, file=sys.stderr)
        return 0
    if as_json:
        print(json.dumps(asdict(done), indent=2))
        return 0
    print(f"{name}, cycle {done.cycle}{' (dry run)' if dry_run else ''}: {done.reason}")
    for action in done.actions:
        came = action.get("outcome", f"would be done; expected: {action['expected']}")
        print(f"  {action['kind']} {action['target']}: {came}")
    return 0


def _replay(path: Path, name: str) -> int:
    if not path.is_file():
        raise Refused(f"there is no {path}", "cycle journals lie in STATE_ROOT/cycles")
    same = differ = 0
    for record in Journal(path).read().records:
        if record.get("agent") != name or "world" not in record:
            continue
        if cycle.replay(record) == codec.encode_line(record["decision"]):
            same += 1
        else:
            differ += 1
            print(f"cycle {record['cycle']} of {record['at']} decides otherwise now")
    print(f"{same} recorded decisions are the same, {differ} differ")
    return 1 if differ or not same else 0


if __name__ == "__main__":
    sys.exit(main())
