"""Find records that are damaged, or gone although others refer to them, by reading a dozen small files.

The two records of each agent (its state and its loop) are checked where they are read: state/records/agent_states.py.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from agents.model.world import RecordFault
from state.files import snapshot
from state.files.layout import Roots
from state.records import orders, request, spare, workers

_LOOPS = "the next loop that looks writes it back from memory"
_ENSURE = "bash scripts/ensure_swarm_watchdogs.sh"
_AGAIN = "type the --parallel command again: it begins a new run; results that were published stay"
_ASIDE = "watchdog sets it aside in its next cycle"


def look(roots: Roots, lives: bool, named: Iterable[str]) -> tuple[RecordFault, ...]:
    """Return all faults of records. `lives`: a loop runs; `named`: the runs that the agents' last reports name."""
    return (*_server(roots, lives), *_settings(roots, lives), *_run(roots, lives, named), *strays(roots))


def strays(roots: Roots) -> Iterator[RecordFault]:
    """Yield launch records and requests that are damaged: no agent can answer them, and none writes them anew."""
    for path, what in (*workers.damaged(roots), *request.damaged(roots.requests)):
        yield RecordFault(str(path.relative_to(roots.state)), "damaged", f"damaged: {what}", _ASIDE)


def _server(roots: Roots, lives: bool) -> Iterator[RecordFault]:
    if not lives:
        return  # nothing was started yet, or nothing is left; the next start writes the record
    tree = snapshot.read_json(roots.swarm)
    if not spare.is_server(tree):
        yield _of(roots.swarm, roots, "it names the tmux server that the loops run in", f"{_LOOPS}; or: {_ENSURE}")


def _settings(roots: Roots, lives: bool) -> Iterator[RecordFault]:
    if lives and not isinstance(snapshot.read_json(roots.settings), dict):  # the watchdog checks its contents
        yield _of(roots.settings, roots, "the swarm was started with it", f"{_LOOPS}; or: {_ENSURE}")


def _run(roots: Roots, lives: bool, named: Iterable[str]) -> Iterator[RecordFault]:
    """Yield faults of the pointer to the run, of the order that it names, and of the record of how the round began."""
    run_id = orders.pointer(roots)
    on_file = orders.every(roots) if not run_id else []
    if not run_id and (on_file or os.path.lexists(roots.current_run)):
        about = f"{on_file[0].run_id} is on file" if on_file else "it is there, and names no run"
        yield _of(roots.current_run, roots, about, f"{_LOOPS}; or: {_ENSURE}" if on_file else _AGAIN, bool(on_file))
    if not run_id and not on_file:
        yield from _forgotten(roots, named)
    if not run_id:
        return
    folder = roots.swarm_run(run_id)
    if orders.read(folder.order) is None and not orders.is_newer(snapshot.read_json(folder.order)):
        yield _order(roots, run_id, lives)
    # Only the last round matters: earlier ones are over.
    for one in folder.rounds()[-1:]:
        if one.jobs.exists() and snapshot.read_json(one.begun) is None:
            yield _of(one.begun, roots, "its round is under way", f"{_LOOPS}, where one has seen it")


def _order(roots: Roots, run_id: str, lives: bool) -> RecordFault:
    folder = roots.swarm_run(run_id)
    has_copy = orders.copy_in_pointer(roots) is not None
    back = f"{_LOOPS}; or: {_ENSURE}" if lives else _ENSURE
    remedy = back if has_copy else f"{_LOOPS}, where one has seen it; else {_AGAIN}" if lives else _AGAIN
    if not folder.path.is_dir():
        said = f"{back}; its work begins again" if has_copy else remedy
        return _of(folder.path, roots, f"{roots.current_run.name} names it", said, has_copy)
    return _of(folder.order, roots, f"{roots.current_run.name} names its run", remedy, has_copy)


def _forgotten(roots: Roots, named: Iterable[str]) -> Iterator[RecordFault]:
    """Yield the runs that agents or launch records name while no run is on file at all."""
    for run_id in sorted({*named, *(one.run_id for one in workers.on_file(roots))} - {""}):
        path = roots.swarm_run(run_id).path
        if orders.is_name(run_id) and not path.exists():
            yield _of(path, roots, "agents speak of it, and no run is on file", _AGAIN, by_itself=False)


def _of(path: Path, roots: Roots, about: str, remedy: str, by_itself: bool = True) -> RecordFault:
    is_there = os.path.lexists(path)
    name = str(path.relative_to(roots.state))
    what = f"{'damaged' if is_there else 'gone'}: {about}"
    return RecordFault(name, "damaged" if is_there else "lost", what, remedy, by_itself)
