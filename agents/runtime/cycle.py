"""Run one cycle of one agent: observe → decide → journal → act → record. The agent itself only brings `decide`.

Decisions depend on the present state and not on events (level-triggered), so an action that failed is decided on again
in the next cycle.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from agents.machine.observe import limits_of, observe
from agents.model.action import Action
from agents.model.decision import Agent, Decision
from agents.model.world import World
from agents.registry import AGENTS, row
from agents.runtime import tally, verify
from config.errors import Refused
from config.record import dataclass
from config.swarm import SwarmSettings, in_groups
from state.files import codec, flock, snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.files.tree import record_of, tree_of
from state.host import code, identity, root
from state.host.clock import Clock, SystemClock, stamp
from state.host.identity import Identity
from state.records import agent_states, healing
from state.records.agent_states import AgentState, Deed, Read, Verified
from state.records.report_parts import on_record

SCHEMA = 1
_JOURNALS_BYTES = 45_000_000  # all cycle journals with their predecessors, however much is decided in a day
_JOURNAL_BYTES = _JOURNALS_BYTES // (2 * len(AGENTS))


class Held(Exception):
    """No cycle may run now: another cycle of this agent is under way, or this root must not be acted in from here."""


class NewerSchema(Exception):
    """A newer version wrote the state on file, so this version may read it and never overwrite it."""


@dataclass(frozen=True)
class Done:
    """The result of a cycle: its reason, and its actions as they are recorded."""

    agent: str
    cycle: int
    reason: str
    actions: tuple[dict[str, Any], ...]


def run_cycle(name: str, roots: Roots, dry_run: bool = False, clock: Clock | None = None, by: str = "") -> Done:
    """Run one cycle under the agent's lock, which the kernel frees when the process dies.

    `by` is the agent whose loop runs the cycle for another one. With `dry_run`, nothing is locked, written or done.

    Raises:
        Held: no cycle may run now.
        NewerSchema: the state file is of a newer version.
        OSError: the state cannot be written.
    """
    clock = SystemClock() if clock is None else clock
    if dry_run:
        return _cycle(name, roots, clock, True, by)
    # A copied root, or one whose swarm lives in another PID namespace, must never be acted in.
    _must_be_ours(roots)
    try:
        with flock.held(roots.cycle_lock(name), wait=False):
            return _cycle(name, roots, clock, False, by)
    except flock.Taken as error:
        raise Held(f"another cycle of {name} is under way") from error


def _must_be_ours(roots: Roots) -> None:
    here = root.look(roots.state)
    if here.is_copy:
        raise Held(f"{roots.state} is a copy of another root, in which no swarm has been started yet")
    if (why := root.from_outside(here)) is not None:
        raise Held(why)


def replay(record: Mapping[str, Any]) -> bytes:
    """Decide again on a recorded world and memory; return the decision as a line with its keys in sorted order."""
    agent = row(record["agent"]).load()
    world, memory = record_of(World, record["world"]), record_of(agent.memory, record["memory"])
    limits = record_of(SwarmSettings, in_groups(record["limits"]))
    return codec.encode_line(_decision_tree(agent.decide(world, memory, limits)), by_name=True)


def replays(record: Mapping[str, Any]) -> bool:
    """Whether the present code decides the same; False, too, when another version wrote the record in another form."""
    try:
        return replay(record) == codec.encode_line(record["decision"], by_name=True)
    except (KeyError, ValueError, Refused):
        return False


def _cycle(name: str, roots: Roots, clock: Clock, dry_run: bool, by: str) -> Done:
    agent, limits = row(name).load(), limits_of(roots)
    read = _read(roots, name)
    state, wrong = read.state, read.wrong
    memory = _memory(agent, state)
    world = observe(roots, limits, agent.sees, clock)
    verified = _verified(state, agent, world)
    decision = agent.decide(world, memory, limits)
    # Two owners of one kind of action could give one target two remedies at once.
    strange = {action.kind for action in decision.actions if type(action) not in agent.owns}
    if strange:
        raise RuntimeError(f"{name} decided on {', '.join(sorted(strange))}, which it does not own")
    cycle = state.cycle + 1
    if dry_run:
        return Done(name, cycle, decision.reason, tuple(action.on_record() for action in decision.actions))
    # The decision is journalled before it is carried out, so that a crash in an action can be explained.
    _journal(roots, name, cycle, state, world, memory, limits, decision, agent.routine)
    if wrong:
        _keep_beside(roots, limits, clock, name, wrong)
    # The memory is on file before any action is done: after a crash, an action that was begun does not look new.
    _record(roots, name, cycle, clock, state, decision, (), verified)
    outcomes = tuple(_act(roots, limits, clock, world, action, by or name) for action in decision.actions)
    if outcomes:
        _record(roots, name, cycle, clock, state, decision, outcomes, verified)
    return Done(name, cycle, decision.reason, tuple(map(on_record, outcomes)))


def _act(roots: Roots, limits: SwarmSettings, clock: Clock, world: World, action: Action, by: str) -> Deed:
    """Carry out one action; an error becomes its outcome, so that the other actions are still done."""
    from agents.machine.acts import Acts  # importing it takes 10 ms, so only cycles that act pay for it

    acts = Acts(roots, limits, clock, world.run_id, world.round, by)
    try:
        outcome = acts.do(action)
    except Exception as error:
        import sys
        import traceback

        from state.host.secrets import redacted

        print(redacted(traceback.format_exc()), file=sys.stderr)
        outcome = redacted(f"failed: {type(error).__name__}: {error}")
    return Deed(action.kind, action.target, action.expected, outcome, world.now)


def _verified(state: AgentState, agent: Agent[Any], world: World) -> tuple[Verified, ...]:
    """Return the actions of the last cycle, each with whether this world shows its expected outcome."""
    return tuple(Verified(**vars(one), holds=verify.holds(one, agent.owns, world)) for one in state.actions_last_cycle)


def _read(roots: Roots, name: str) -> Read:
    """Read the agent's state file: the values that fit, and the names of those that do not.

    Raises:
        NewerSchema: a newer version wrote the file.
    """
    read = agent_states.read(roots, name)
    if read.state.schema > SCHEMA:
        raise NewerSchema(f"{roots.agent_state(name)} has schema {read.state.schema}; this version knows {SCHEMA}")
    return read


def _keep_beside(roots: Roots, limits: SwarmSettings, clock: Clock, name: str, wrong: tuple[str, ...]) -> None:
    """Keep a damaged state file beside the one that is written now, and write that to healing.jsonl."""
    path = roots.agent_state(name)
    with contextlib.suppress(OSError):  # the disk may be full, which must not end the cycle
        aside = snapshot.keep_beside(path).name if path.stat().st_size else "gone, since it was empty"
        how = f"the values that fit are kept, the rest begins anew; the damaged file is {aside}"
        events = healing.rebuilt(path.name, "record_damaged", "; ".join(wrong[:3]), name, how)
        healing.record(roots, clock, events, limits.records.journal_mb * 1_000_000)


def _memory(agent: Agent[Any], state: AgentState) -> Any:
    try:
        return record_of(agent.memory, state.memory)
    except ValueError:
        return agent.memory()


def _record(
    roots: Roots,
    name: str,
    cycle: int,
    clock: Clock,
    state: AgentState,
    decision: Decision[Any],
    outcomes: tuple[Deed, ...],
    verified: tuple[Verified, ...],
) -> None:
    after = _after(name, cycle, clock, state, decision, outcomes, verified)
    snapshot.write_json(roots.agent_state(name), on_record(after))


def _after(
    name: str,
    cycle: int,
    clock: Clock,
    state: AgentState,
    decision: Decision[Any],
    outcomes: tuple[Deed, ...],
    verified: tuple[Verified, ...],
) -> AgentState:
    """Return what the state file holds after this cycle."""
    epoch, loop = _epoch(state)
    return AgentState(
        schema=SCHEMA,
        agent=name,
        writer=identity.mine(),
        boot_id=identity.boot_id(),
        epoch=epoch,
        loop=loop,
        cycle=cycle,
        at=stamp(clock.now()),
        at_s=clock.monotonic_s(),
        reason=decision.reason,
        actions_last_cycle=outcomes,
        verified_last_cycle=verified,
        actions_before=state.actions_last_cycle or state.actions_before,
        tally=tally.after(state.tally, outcomes, verified),
        report=decision.report,
        memory=tree_of(decision.memory),
    )


def _epoch(state: AgentState) -> tuple[int, Identity | None]:
    """Return the number of this writer among all writers of the state file, and its loop.

    A respawned loop, and a cycle by hand, has the next number. The number never falls, so a reader that has seen a
    higher number knows that a record is outdated.
    """
    # The parent is the loop. It differs after a respawn, and in a cycle that was started by hand.
    parent = identity.of(os.getppid())
    loop = state.loop if parent is None else parent
    return state.epoch if state.epoch and loop == state.loop else state.epoch + 1, loop


def _journal(
    roots: Roots,
    name: str,
    cycle: int,
    state: AgentState,
    world: World,
    memory: Any,
    limits: SwarmSettings,
    decision: Decision[Any],
    routine: frozenset[type[Action]],
) -> None:
    """Journal the cycle: in full when it acts beyond its routine or has a new reason, else only with the reason."""
    journal = Journal(roots.cycles(name), durable=False, max_bytes=_JOURNAL_BYTES)
    short = {"cycle": cycle, "at": world.now, "agent": name, "reason": decision.reason}
    # A full record holds the whole world, so it is written only when something was decided: 50 MB a day at most.
    acts = any(type(action) not in routine for action in decision.actions)
    if not acts and _kind(decision.reason) == _kind(state.reason):
        journal.append(short)
        return
    full = {
        **short,
        "code": code.running(),
        "world": tree_of(world),
        "memory": tree_of(memory),
        "limits": tree_of(limits),
        "decision": _decision_tree(decision),
    }
    journal.append(full)


def _kind(reason: str) -> str:
    """Return a reason without its numbers, so that only the words decide whether it is a new one."""
    return "".join(c for c in reason if not c.isdigit() and c != ".")


def _decision_tree(decision: Decision[Any]) -> dict[str, Any]:
    return {
        "memory": tree_of(decision.memory),
        "reason": decision.reason,
        "actions": [action.on_record() for action in decision.actions],
        "report": on_record(decision.report),
    }
