"""All readers of records, as functions of the roots: agents up to their decision, commands up to their answer."""

import json
from collections.abc import Callable
from contextlib import suppress
from io import StringIO

from rich.console import Console

from agents.machine import casualties, observe
from agents.model.world import Sample, SessionView
from agents.registry import AGENTS, RESCUE, at_work
from agents.runtime import cycle
from config.errors import Refused
from config.record import replace
from scripts.infra import continuity as query
from scripts.infra.session_state_manager import in_words
from scripts.swarm import health, show, status, stop
from scripts.swarm.doctor import records as doctor
from scripts.swarm.doctor.finding import Patient
from scripts.swarm.explain import command as explain
from scripts.swarm.views import VIEWS
from state.files import codec
from state.files.layout import CHECKOUT, Roots
from state.host.clock import SystemClock
from state.records.report_parts import Gpu, on_record

GPU = Gpu(0, "GPU-1", utilisation_pct=1.0)
SAMPLE = Sample(2, 1.0, 100, 10, 10**12, (GPU,))
SEES = frozenset({"records", "knowledge", "audit", "outcomes", "hypotheses", "keeper", "hooks", "healings", "code"}) | {
    "write_events", "write_incidents", "write_line"
}  # fmt: skip


def agents(roots: Roots) -> None:
    """A cycle of every agent but for its acts: what it reads, decides and would record."""
    limits = observe.limits_of(roots)
    world = observe.observe(roots, limits, SEES, SystemClock())
    sessions = tuple(SessionView(row.session, True, str(roots.state)) for row in at_work(limits))
    world = replace(world, sample=SAMPLE, sessions=sessions)
    for row in (*AGENTS, RESCUE):
        agent = row.load()
        try:
            state = cycle._read(roots, row.name).state
        except cycle.NewerSchema:
            continue
        verified = cycle._verified(state, agent, world)
        decision = agent.decide(world, cycle._memory(agent, state), limits)
        assert {type(action) for action in decision.actions} <= set(agent.owns)
        codec.encode(on_record(cycle._after(row.name, 1, SystemClock(), state, decision, (), verified)))
        codec.encode_line(cycle._decision_tree(decision))
    for row in AGENTS:
        observe.is_silent(roots, row, limits)
    casualties.look(roots, limits, SystemClock())


def health_(roots: Roots) -> None:
    json.dumps(health.judge(roots))


def status_(roots: Roots) -> None:
    now = status.build(roots)
    json.dumps(now)
    console = Console(file=StringIO(), width=80)
    console.print(show.page(now, 80))
    status.failures(roots)


def continuity_(roots: Roots) -> None:
    with suppress(ValueError):  # which the command says, with a way out
        answer = query.read(str(roots.agent_state("session_state_manager")))
        json.dumps(answer)
        in_words(answer)


def explain_(roots: Roots) -> None:
    limits = observe.limits_of(roots)
    world = observe.observe(roots, limits, {"hooks", "faults"})
    for name in ("worker_sentry", "curator"):
        explain._agent(roots, "agent", name, world, limits)
    with suppress(Refused):  # a job that is on file no more
        about = explain.subject.job(roots, "r0.SOL.aggressive.prescreen.0")
        explain._chain(roots, about, world)
        explain.answer.of_job(about, world, limits)
    with suppress(Refused):
        about = explain.subject.worker(roots, "gone.e1.abcdef")
        explain.answer.of_worker(about, world)
    with suppress(Refused):
        explain._gpu(roots, 0, world, limits)


def doctor_(roots: Roots) -> None:
    patient = Patient(CHECKOUT, roots, observe.limits_of(roots))
    list(doctor._contents(patient))
    list(doctor._lost(patient))
    list(doctor._stale(patient))
    list(doctor.keeper(patient))


def monitors(roots: Roots) -> None:
    for view in VIEWS.values():
        one = view()
        one.look(roots)
        Console(file=StringIO(), width=80).print(one.page(80, 30))
        one.line()


def stop_(roots: Roots) -> None:
    stop._next(roots)
    stop._kept(roots)


Reader = Callable[[Roots], None]
READERS: dict[str, Reader] = {
    "agents": agents,
    "health": health_,
    "status": status_,
    "continuity": continuity_,
    "explain": explain_,
    "doctor": doctor_,
    "monitors": monitors,
    "stop": stop_,
}
