"""One worker of the swarm: it does one job on one lane, and leaves its result.

`python -m WORKFLOW.pipeline.lane.worker LAUNCH_RECORD`; only worker_sentry starts it. The work of each phase is in
`deeds.py`.
"""

import contextlib
import sys
import time
import traceback
from pathlib import Path

from config.errors import Refused
from hooks import gate
from state.files import private, snapshot
from state.files.layout import Roots
from state.files.tree import record_of, tree_of
from state.host import identity, presence, process
from state.host.clock import SystemClock, stamp
from state.host.secrets import redacted
from state.records import lease, orders
from state.records.heartbeat import Heartbeat, Pulse
from state.records.workers import GPU_LOST, Launch, Result
from WORKFLOW import room
from WORKFLOW.engines.choice import choose
from WORKFLOW.engines.gpu.presence import GpuLost
from WORKFLOW.pipeline.lane import ends, mended
from WORKFLOW.pipeline.lane.deeds import DEEDS
from WORKFLOW.pipeline.lane.given import LaneContext, Outdated

DONE, FAILED, TRY_AGAIN, SUPERSEDED, WAITING = 0, 1, 3, 4, 6  # exit codes
_CODES = {"completed": DONE, "failed": FAILED, "waiting": WAITING, "again": TRY_AGAIN}


def main(argv: list[str]) -> int:
    """Do the job of the launch record `argv[0]`."""
    private.close()
    began_s = time.monotonic()
    lane = _worker(Path(argv[0]))
    job, clock = lane.launch.job, SystemClock()
    try:
        room.check()
        lease.take(lane.round_folder.lease(job.job_id), lane.launch.epoch, lane.launch.worker_id)
        lane.pulse.write()
        lane.swarm_order = mended.order_of(lane)
        gate.beat = lane.beat
        if lane.launch.gpu:
            _open(lane)
        metrics = dict(DEEDS[job.phase](lane))
        gates = tuple(metrics.pop("gates", ()))
        lane.still_mine()
        duration_s = round(time.monotonic() - began_s, 3)
        result = Result(job.job_id, lane.launch.epoch, "completed", "", metrics, gates, duration_s)
    except lease.Superseded as newer:
        print(f"{stamp(clock.now())} leaving: {newer}", flush=True)
        return SUPERSEDED
    except GpuLost as lost:
        print(redacted(f"{stamp(clock.now())} leaving the GPU: {lost}"), flush=True)
        return GPU_LOST
    except MemoryError as error:
        print(redacted(f"{stamp(clock.now())} leaving: {room.ran_out(error)}"), flush=True)
        return TRY_AGAIN
    except (Refused, OSError, Outdated) as error:
        ended = ends.result_of(error, lane.launch)
        if ended is None:
            print(redacted(traceback.format_exc()), flush=True)
            return TRY_AGAIN
        print(redacted(f"{stamp(clock.now())} {ended.status}: {error}"), flush=True)
        result = ended
    snapshot.write_json(lane.round_folder.result(job.job_id), tree_of(result))
    return _CODES[result.status]


def _open(lane: LaneContext) -> None:
    """Open the device before any work; the only device that this worker sees is the one that it is bound to."""
    try:
        taken = choose("gpu")
    except Refused as refusal:
        raise GpuLost(f"{lane.launch.lane} ({lane.launch.gpu}): {refusal.reason}", refusal.way_out) from refusal
    print(f"{stamp(SystemClock().now())} engine {taken}", flush=True)


def _worker(path: Path) -> LaneContext:
    launch = record_of(Launch, snapshot.read_json(path))
    roots, clock = Roots.from_environment(), SystemClock()
    with contextlib.suppress(OSError):  # the disk may be full; the lock is held until this process ends
        presence.hold(roots.state)
    first = Heartbeat(
        worker_id=launch.worker_id,
        job_id=launch.job.job_id,
        epoch=launch.epoch,
        identity=identity.mine(),
        phase=launch.job.phase,
        done=0,
        total=0,
        rate_per_s=None,
        note="starting",
        beats=0,
        progressed_at_s=clock.monotonic_s(),
        at=stamp(clock.now()),
    )
    order = orders.must(roots.swarm_run(launch.run_id).order)
    return LaneContext(launch, roots, order, Pulse(roots.heartbeat(launch.worker_id), clock, first))


if __name__ == "__main__":
    process.begin()
    sys.exit(main(sys.argv[1:]))
