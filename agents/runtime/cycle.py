"""One cycle of one agent: observe → decide → journal → act → record. All the agent itself brings is `decide`.

The next cycle sees what came of it: state is level-triggered, so an action that failed is decided on again.
"""

import os
from collections.abc import Mapping
from typing import Any

from agents.machine.observe import limits_of, observe
from agents.registry import AGENTS, row
from agents.runtime import tally, verify
from agents.runtime.decision import Action, Agent, Decision
from agents.runtime.world import World
from config.errors import Refused
from config.record import asdict, dataclass
from config.swarm import SwarmSettings
from state import code, codec, flock, identity, snapshot
from state.clock import Clock, SystemClock, stamp
from state.journal import Journal
from state.layout import Roots
from state.tree import record_of, tree_of

SCHEMA = 1
_JOURNALS_BYTES = 45_000_000  # all cycle journals and those before them, however much is decided in a day
_JOURNAL_BYTES = _JOURNALS_BYTES // (2 * len(AGENTS))


class Held(Exception):
    """Another cycle of the same agent is under way."""


class NewerSchema(Exception):
    """The state on file was written by a newer version: it may be read, never overwritten."""


@dataclass(frozen=True)
class Done:
    """What a cycle came to."""

    agent: str
    cycle: int
    reason: str
    actions: tuple[dict[str, Any], ...]


def run_cycle(name: str, roots: Roots, dry_run: bool = False, clock: Clock | None = None) -> Done:
    """One cycle, alone: the kernel frees the lock of one that dies.

    Raises:
        Held: see there. NewerSchema: see there. OSError: the state cannot be written.
    """
    clock = SystemClock() if clock is None else clock
    if dry_run:
        return _cycle(name, roots, clock, dry_run=True)
    try:
        with flock.held(roots.cycle_lock(name), wait=False):
            return _cycle(name, roots, clock, dry_run=False)
    except flock.Taken as error:
        raise Held(f"another cycle of {name} is under way") from error


def replay(record: Mapping[str, Any]) -> bytes:
    """The decision that the recorded world and memory lead to now, encoded as it was recorded."""
    agent = row(record["agent"]).load()
    world, memory = record_of(World, record["world"]), record_of(agent.memory, record["memory"])
    limits = record_of(SwarmSettings, record["limits"])
    return codec.encode_line(_decision_tree(agent.decide(world, memory, limits)))


def replays(record: Mapping[str, Any]) -> bool:
    """Whether the same is decided now; not where the record is of a version with other worlds, memories or settings."""
    try:
        return replay(record) == codec.encode_line(record["decision"])
    except (KeyError, ValueError, Refused):
        return False


def _cycle(name: str, roots: Roots, clock: Clock, dry_run: bool) -> Done:
    agent, limits = row(name).load(), limits_of(roots)
    state = _state(roots, name)
    memory = _memory(agent, state)
    world = observe(roots, limits, agent.sees, clock)
    verified = _verified(state, world)
    decision = agent.decide(world, memory, limits)
    strange = {action.kind for action in decision.actions} - set(agent.owns)
    if strange:
        raise RuntimeError(f"{name} decided on {', '.join(sorted(strange))}, which it does not own")
    before = state.get("cycle")
    cycle = (before if isinstance(before, int) else 0) + 1
    if dry_run:
        return Done(name, cycle, decision.reason, tuple(asdict(action) for action in decision.actions))
    _journal(roots, name, cycle, state, world, memory, limits, decision, agent.routine)
    # The memory is on file before anything is done: what was begun is never begun again as if it were new.
    _record(roots, name, cycle, clock, state, decision, (), verified)
    outcomes = tuple(_act(roots, limits, clock, world, action) for action in decision.actions)
    if outcomes:
        _record(roots, name, cycle, clock, state, decision, outcomes, verified)
    return Done(name, cycle, decision.reason, outcomes)


def _act(roots: Roots, limits: SwarmSettings, clock: Clock, world: World, action: Action) -> dict[str, Any]:
    """One failed action must not keep the others from being done."""
    from agents.machine.acts import Acts  # 10 ms of a cold cycle: only those pay who act

    acts = Acts(roots, limits, clock, world.run_id, world.round)
    try:
        outcome = acts.do(action)
    except Exception as error:
        import sys
        import traceback

        from state.secrets import redacted

        print(redacted(traceback.format_exc()), file=sys.stderr)
        outcome = redacted(f"failed: {type(error).__name__}: {error}")
    said = {"kind": action.kind, "target": action.target, "expected": action.expected, "outcome": outcome}
    return {**said, "at": world.now}


def _verified(state: Mapping[str, Any], world: World) -> list[dict[str, Any]]:
    """What the last cycle did, and whether this one finds what was expected of it."""
    done = state.get("actions_last_cycle")
    return [{**one, "holds": verify.holds(one, world)} for one in (done if isinstance(done, list) else ())]


def _state(roots: Roots, name: str) -> dict[str, Any]:
    state = snapshot.read_json(roots.agent_state(name))
    if not isinstance(state, dict):
        return {}  # none yet, or unreadable: it is made anew
    if isinstance(state.get("schema"), int) and state["schema"] > SCHEMA:
        raise NewerSchema(f"{roots.agent_state(name)} has schema {state['schema']}; this version knows {SCHEMA}")
    return state


def _memory(agent: Agent[Any], state: Mapping[str, Any]) -> Any:
    try:
        return record_of(agent.memory, state.get("memory"))
    except ValueError:
        return agent.memory()


def _record(
    roots: Roots,
    name: str,
    cycle: int,
    clock: Clock,
    state: Mapping[str, Any],
    decision: Decision[Any],
    outcomes: tuple[dict[str, Any], ...],
    verified: list[dict[str, Any]],
) -> None:
    snapshot.write_json(
        roots.agent_state(name),
        {
            "schema": SCHEMA,
            "agent": name,
            "writer": tree_of(identity.mine()),
            "boot_id": identity.boot_id(),
            **_epoch(state),
            "cycle": cycle,
            "at": stamp(clock.now()),
            "at_s": clock.monotonic_s(),
            "reason": decision.reason,
            "actions_last_cycle": list(outcomes),
            "verified_last_cycle": verified,
            "actions_before": state.get("actions_last_cycle") or state.get("actions_before", []),
            "tally": tally.after(state.get("tally"), outcomes, verified),
            "report": decision.report,
            "memory": tree_of(decision.memory),
        },
    )


def _epoch(state: Mapping[str, Any]) -> dict[str, Any]:
    """Which writer in a row this is: a loop that was respawned, or a cycle by hand, counts one more than the last one.

    It never falls, so who has read a higher one holds an outdated record in hands.
    """
    parent = identity.of(os.getppid())
    loop = state.get("loop") if parent is None else tree_of(parent)
    before = state.get("epoch")
    before = before if isinstance(before, int) else 0
    return {"epoch": before if before and loop == state.get("loop") else before + 1, "loop": loop}


def _journal(
    roots: Roots,
    name: str,
    cycle: int,
    state: Mapping[str, Any],
    world: World,
    memory: Any,
    limits: SwarmSettings,
    decision: Decision[Any],
    routine: frozenset[str],
) -> None:
    """All of it when the cycle acts or decides otherwise than the last one; one line with the reason when not."""
    journal = Journal(roots.cycles(name), durable=False, max_bytes=_JOURNAL_BYTES)
    short = {"cycle": cycle, "at": world.now, "agent": name, "reason": decision.reason}
    acts = any(action.kind not in routine for action in decision.actions)
    if not acts and _kind(decision.reason) == _kind(str(state.get("reason", ""))):
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
    """A reason without its numbers."""
    return "".join(c for c in reason if not c.isdigit() and c != ".")


def _decision_tree(decision: Decision[Any]) -> dict[str, Any]:
    return asdict(decision)
