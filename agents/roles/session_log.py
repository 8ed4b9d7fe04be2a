"""Write one line in each cycle, from which people can read how a run went, and keep the latest line as a file."""

from agents.actions.records import WriteLine
from agents.model.decision import Agent, Decision
from agents.model.world import Worker, World
from config.record import dataclass
from config.swarm import SwarmSettings
from state.records.jobs import STATUSES
from state.records.report_parts import WorkerLine, on_record
from state.records.reports import LogReport, Reports

SCHEMA = 1


@dataclass(frozen=True)
class Memory:
    """The run that was moving at the last line; when that run comes to rest, one more line is written."""

    moving: str = ""


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Write this cycle's line; none while there is no run, and one last line when the run has come to rest."""
    if world.order is None:
        return Decision(Memory(), "there is no run")
    line = _line(world, limits)
    # A run at rest gets one last line and then none, so that its log does not grow for ever.
    rests = world.run_finished or world.stopped
    if rests and memory.moving != world.run_id:
        return Decision(memory, "nothing moves", report=line)
    write = WriteLine(world.run_id, on_record(line))
    reason = "writes its last line" if rests else "writes its line"
    return Decision(Memory("" if rests else world.run_id), reason, (write,), line)


def _line(world: World, limits: SwarmSettings) -> LogReport:
    """Return the whole line; values that no agent has reported yet are None."""
    continuity = world.reports.session_state_manager
    return LogReport(
        schema=SCHEMA,
        at=world.now,
        at_s=world.now_s,
        boot_id=world.boot_id,
        run_id=world.run_id,
        round=world.round,
        stage=continuity.stage,
        stopped=world.stopped,
        finished=world.run_finished,
        jobs={s: n for s in STATUSES if (n := sum(job.status == s for job in world.jobs))},
        workers=tuple(map(_worker, world.workers)),
        stale_agents=tuple(view.agent for view in world.agents if view.is_stale(limits)),
        incidents=tuple(one.id for one in continuity.incidents),
        next_step=next((step.id for step in continuity.next_steps or ()), None),
        deaths=len(world.last_deaths),
        cpu_pct=world.control.cpu_pct,
        gpu_pct=world.control.gpu_pct,
        disk_free_bytes=world.disk_free_bytes,
        scores=_scores(world.reports),
    )


def _worker(one: Worker) -> WorkerLine:
    return WorkerLine(one.launch.job.job_id, one.life, one.done, one.total, one.rate_per_s, round(one.silent_s, 1))


def _scores(reports: Reports) -> dict[str, float | None]:
    consensus, audit = reports.orchestration_consensus, reports.process_auditor
    return {
        "deviation": consensus.deviation,
        "performance": consensus.performance,
        "efficiency": consensus.efficiency,
        "adherence": audit.adherence,
        "efficacy": audit.efficacy,
    }


OWNS = (WriteLine,)
AGENT = Agent(Memory, decide, OWNS, frozenset({"write_line"}), routine=frozenset({WriteLine}))
