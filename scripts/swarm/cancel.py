"""`cancel JOB`: ask worker_sentry to cancel one job. The sentry answers in its next cycle."""

import sys
import time

from agents.machine.observe import limits_of, observe
from agents.model.world import World
from config.errors import Refused
from scripts.swarm import cli
from state.files import snapshot
from state.files.layout import Roots
from state.host import command, wake
from state.host.clock import SystemClock
from state.records import request
from state.records.jobs import JobState

_WAIT_S = 30.0
_HEARD = "waiting for the sentry's next cycle …"


def main(argv: list[str]) -> int:
    """Ask for the cancellation, wait for the answer and print it."""
    parser = command.parser(
        "backtest-optimize cancel",
        "Cancel one job. Its symbol and mode end with it; the others go on.",
        "scripts/backtest-optimize cancel r0.SOL.aggressive.search.0     (ids: status --json, attach)",
        "0 cancelled, 1 refused with a reason, 2 usage",
        "job, whether it was cancelled, and the sentry's reason",
    )
    parser.add_argument("job", metavar="JOB")
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    world = observe(roots, limits_of(roots))
    known = {state.job.job_id: state for state in (*world.jobs, *world.fills)}
    if asked.job not in known:
        open_jobs = (job_id for job_id, state in known.items() if not state.is_over)
        nothing = "no job is open; scripts/backtest-optimize status shows what runs"
        raise Refused(f"there is no job {asked.job!r} in this round", cli.on_file("open jobs", open_jobs, nothing))
    _check(known[asked.job], world)
    made = request.ask(roots.requests, SystemClock(), "cancel_job", asked.job, "the command line", {})
    wake.nudge(roots.pipe("worker_sentry"))
    if sys.stderr.isatty():
        print(_HEARD, file=sys.stderr)
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        for folder, code in (("done", 0), ("refused", 1)):
            record = snapshot.read_json(roots.requests / folder / f"{made.request_id}.json")
            if isinstance(record, dict):
                if asked.json:
                    cli.say({"job": asked.job, "cancelled": code == 0, "reason": str(record["reason"])})
                else:
                    print(
                        f"{'' if code == 0 else 'error: '}{asked.job}: {record['reason']}",
                        file=sys.stdout if code == 0 else sys.stderr,
                    )
                return code
        time.sleep(0.2)
    raise Refused(
        "the sentry has not answered yet",
        "it answers in its next cycle; scripts/backtest-optimize health says whether it cycles",
    )


def _check(state: JobState, world: World) -> None:
    """Refuse at once what the sentry would refuse, or what the next start would carry out unexpectedly."""
    job = state.job.job_id
    if state.is_over:
        raise Refused(
            f"{job} is {state.status} already", f"scripts/backtest-optimize explain --job {job} shows how it ended"
        )
    if world.stopped:
        raise Refused(f"{job} is not running: the operator stopped the swarm", "start, then cancel it; or leave it so")
