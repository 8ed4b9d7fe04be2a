"""`cancel JOB`: asks the sentry to cancel one job; it answers in its next cycle."""

import argparse
import time

from agents.machine.observe import observe, resolved
from config.errors import Refused
from state import request, snapshot, wake
from state.clock import SystemClock
from state.layout import Roots

_WAIT_S = 30.0


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="backtest-optimize cancel",
        description="Cancel one job; its symbol and mode end with it, the others go on.",
        epilog="example (ids: status --json):\n  scripts/backtest-optimize cancel r0.SOL.aggressive.search.0\n\n"
        "exit codes: 0 cancelled, 1 refused with a reason",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("job", metavar="JOB")
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    known = {state.job.job_id: state for state in observe(roots, resolved(roots).swarm).jobs}
    if asked.job not in known:
        open_jobs = ", ".join(job_id for job_id, state in known.items() if not state.is_over) or "none"
        raise Refused(f"there is no job {asked.job!r} in this round", f"open jobs: {open_jobs}")
    made = request.ask(roots.requests, SystemClock(), "cancel_job", asked.job, "the command line", {})
    wake.nudge(roots.pipe("worker_sentry"))
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        for folder, code in (("done", 0), ("refused", 1)):
            record = snapshot.read_json(roots.requests / folder / f"{made.request_id}.json")
            if isinstance(record, dict):
                print(f"{asked.job}: {record['reason']}")
                return code
        time.sleep(0.2)
    raise Refused("the sentry has not answered yet", "it will in its next cycle; scripts/backtest-optimize health")
