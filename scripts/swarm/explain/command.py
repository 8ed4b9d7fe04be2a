"""`explain`: the chain of evidence for a worker, a job, a GPU, an agent or a session; the answer in one sentence."""

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from agents.machine.observe import limits_of, observe
from agents.model.world import World
from agents.rules import idle
from config.errors import Refused, visible
from config.swarm import SwarmSettings
from scripts.swarm import cli
from scripts.swarm.explain import agents, answer, evidence, subject
from scripts.swarm.explain.evidence import Evidence, Names
from scripts.swarm.explain.subject import Subject
from state.files.layout import Roots
from state.host import command

_BEFORE_S = 10.0  # seconds before a job's first record: a decision is older than the record that it leads to
_AFTER_S = 60.0  # seconds after its last record: other agents record in a later cycle what the journal already holds
_SHOWN = 60  # lines; a job that died every five minutes for a week has thousands


def main(argv: list[str]) -> int:
    """Print the chain of evidence and the answer."""
    asked = parser().parse_args(argv)
    roots = Roots.from_environment()
    limits = limits_of(roots)
    about_agents = asked.agent is not None or asked.session is not None
    world = observe(roots, limits, {"sessions", "hooks", "faults"} if about_agents else ())
    if about_agents:
        kind = "session" if asked.agent is None else "agent"
        name, chain, sentence = _agent(roots, kind, asked.agent or asked.session, world, limits)
    elif asked.gpu is not None:
        kind, name = "gpu", str(asked.gpu)
        chain, sentence = _gpu(roots, asked.gpu, world, limits)
    elif asked.worker is not None:
        kind, about = "worker", subject.worker(roots, asked.worker)
        name, chain, sentence = about.worker_id, _chain(roots, about, world), answer.of_worker(about, world)
    else:
        kind, about = "job", subject.job(roots, asked.job)
        name, chain, sentence = about.job_id, _chain(roots, about, world), answer.of_job(about, world, limits)
    if asked.json:
        cli.say({"kind": kind, "id": name, "evidence": [asdict(one) for one in chain], "answer": sentence})
    else:
        _print(chain, sentence, asked.last)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    made = command.parser(
        "backtest-optimize explain",
        "Explain why a worker ended, why a job waits or where it stands, why a GPU is idle, what an agent did last and "
        "why, or whether a session lives. The command prints what the records say, in order of time (UTC), and the "
        "answer in one sentence. `status` shows the ids; a worker may be named by its pid.",
        "scripts/backtest-optimize explain --job r0.SOL.aggressive.search.0\n"
        "  scripts/backtest-optimize explain --worker r0.SOL.aggressive.prescreen.3.e1.1f2e3d\n"
        "  scripts/backtest-optimize explain --agent worker_sentry",
        "0 explained, 1 there is no such thing on file, 2 usage",
        "one object; its schema: docs/reference/schemas/explain.schema.json",
    )
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--worker", metavar="W", help="a worker's id, or its pid")
    what.add_argument("--gpu", metavar="N", type=int, help="a GPU's number, from 0")
    what.add_argument("--job", metavar="J", help="a job's id, the same that cancel takes")
    what.add_argument("--agent", metavar="A", help="an agent's name, or the name of its session")
    what.add_argument(
        "--session", metavar="S", help="a tmux session of the swarm (agent or monitor); bt- may be left out"
    )
    made.add_argument(
        "--last", metavar="N", type=int, default=_SHOWN, help=f"lines to print (default {_SHOWN}; 0: all)"
    )
    return made


def _chain(roots: Roots, about: Subject, world: World) -> list[Evidence]:
    """Return every record that names the job or the worker."""
    names = Names(about.names)
    workers = [about.worker_id] if about.worker_id else [name for name in about.names if name != about.job_id]
    source = str(about.folder.jobs.relative_to(roots.state))
    found = [*evidence.of_journal(_own(about), source)]
    for read in (evidence.of_cycles, evidence.of_states, evidence.of_events, evidence.of_requests):
        found += read(roots, names)
    for worker_id in workers:
        found += evidence.of_worker(roots, worker_id)
    latest = max((one.at for one in found), default="")
    if not about.worker_id:
        found += evidence.of_log(roots.worker_log(about.run_id, about.job_id), latest)
    # Jobs have the same names in every run: what was written before this run began is about another run's job.
    since = evidence.around(str(about.history[0].get("at", "")), -_BEFORE_S)
    is_now = about.run_id == world.run_id
    until = "9" if is_now else evidence.around(str(about.history[-1].get("at", "")), _AFTER_S)
    return evidence.in_order(found, since, until)


def _own(about: Subject) -> Iterable[dict[str, Any]]:
    """Return all evidence of a job; of a worker, the part from its start to the start of its successor."""
    if not about.worker_id:
        return about.history
    place = next(i for i, record in enumerate(about.history) if record.get("worker_id") == about.worker_id)
    rest = about.history[place + 1 :]
    until = next((i for i, record in enumerate(rest) if record["event"] == "started"), len(rest) - 1)
    return about.history[place : place + until + 2]


def _agent(roots: Roots, kind: str, typed: str, world: World, limits: SwarmSettings) -> tuple[str, list[Evidence], str]:
    named = agents.agent(typed, limits) if kind == "agent" else agents.session(typed, limits)
    chain = agents.chain(roots, named, world)
    name = named.row.name if kind == "agent" and named.row is not None else named.session
    return name, chain, agents.answer(roots, named, world, limits, chain)


def _gpu(roots: Roots, number: int, world: World, limits: SwarmSettings) -> tuple[list[Evidence], str]:
    there = [one.name for one in idle.gpus(world, limits)]
    is_none = world.control.gpus == ()  # on a machine without GPUs, GPU 0 stands for all of them
    if number < 0 or (f"gpu{number}" not in there and ("gpu" not in there or (is_none and number > 0))):
        raise Refused(f"there is no GPU {number} here", f"GPUs: {'none' if is_none else ', '.join(there)}")
    chain = evidence.in_order(evidence.of_gpu(roots, number, subject.events(roots)))
    return chain, answer.of_gpu(number, world, limits)


def _print(chain: list[Evidence], sentence: str, last: int) -> None:
    shown = chain[-last:] if last > 0 else chain
    if len(chain) > len(shown):
        print(f"… {len(chain) - len(shown)} earlier lines: --last 0")
    day = ""
    for one in shown:
        if one.at[:10] != day:
            day = one.at[:10]
            print(day or "at a time that no record names")
        why = f"\n                 because {one.why}" if one.why else ""
        print(visible(f"  {one.at[11:23]:<12}  {one.who}: {one.what}{why}"))
    print(visible(f"\n{sentence}"))
