"""Report the pace of a prescreen, batch by batch, so that a slow prescreen is told from a large one."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from config.record import replace
from state.files import codec, digest
from state.records.screening import Screening, speed
from WORKFLOW.pipeline.lane.given import LaneContext
from WORKFLOW.report.manifest import cpu_model

if TYPE_CHECKING:
    from WORKFLOW.search.evaluate import Evaluator


class PaceReport:
    """The pace of one worker's prescreen, in its heartbeat."""

    def __init__(self, lane: LaneContext, evaluator: "Evaluator", done: int) -> None:
        """Start the clock; `done` combos were tried by an earlier worker."""
        mode = lane.order.settings.mode(lane.order.mode)
        device, engine = evaluator.choice.device, evaluator.engine_name
        space = digest.short(codec.encode_line(asdict(mode)))
        self._worker, self._clock = lane, lane.pulse.clock
        self._screening = Screening(
            kind=f"{cpu_model() if device is None else device.name} · {engine} · {mode.family} · {space}",
            engine=engine,
            family=mode.family,
            bars=len(evaluator.market),
            threads=lane.threads if device is None else 1,
            began_at_s=self._clock.monotonic_s(),
            began_done=done,
            first_done=done,
        )
        lane.pulse.screens(self._screening)

    def at(self, done: int) -> None:
        """Report a complete batch."""
        if self._screening.first_s is None:
            first_s = round(self._clock.monotonic_s() - self._screening.began_at_s, 3)
            self._screening = replace(self._screening, first_s=first_s, first_done=done)
            self._worker.pulse.screens(self._screening)

    def came_to(self, done: int) -> dict[str, Any]:
        """Return the pace for the job's result: its kind, seconds, work, and speed per thread."""
        seconds = self._clock.monotonic_s() - self._screening.began_at_s
        work = (done - self._screening.began_done) * self._screening.bars
        rate = speed(self._screening, done, seconds)
        return {"kind": self._screening.kind, "seconds": round(seconds, 3), "bar_combos": work, "speed": rate}
