"""Every pair of faults within a second of each other, on the real agents over a simulated kernel.

`scripts/bench faults --pairs` does the same to a real swarm, for hours. Here a second of the swarm takes a
millisecond: agents, rescue, keeper, `start`, `stop` and `ensure` are the product's own, on real files.
"""

import gc
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median

import pytest

from agents.machine import sessions
from config.record import replace
from state.files.journal import Journal
from state.files.layout import Roots
from state.host import identity
from state.records import orders
from state.records.jobs import PHASES
from tests.agents.blows import PAIRS, Ring, Row, completed_twice, rounds
from tests.agents.programs import Machine
from tests.agents.yard import fill

_GROUPS = 8
_SETTINGS = {
    "LANES__COUNT": "4",
    "RECORDS__MIN_FREE_MB": "0",
    "LANES__MAX_PER_CORE": "0.01",
}  # four lanes on any machine
_SYMBOLS = ("SOL", "BTC", "ETH", "XRP")
_COMES_UP_S = 120.0
_ENDS_S = 3_600.0
_APART_S = 5.0  # between two pairs, at most


@contextmanager
def ring(seed: int) -> Iterator[Ring]:
    """A swarm under way, in memory where there is such a place."""
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(prefix="bt-", dir=memory if memory.is_dir() else None) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("STATE_ROOT", "LOGS_ROOT", identity.NONCE):
            patch.delenv(name, raising=False)
        for name, value in _SETTINGS.items():
            patch.setenv(f"BACKTEST_OPTIMIZE__SWARM__{name}", value)
        sockets = Path(folder) / "sockets"
        sockets.mkdir(mode=0o700)
        patch.setenv("RESULTS_ROOT", f"{folder}/results")
        patch.setenv("TMUX_TMPDIR", str(sockets))
        patch.setenv("BACKTEST_OPTIMIZE_DEV", str(sockets))  # no GPU is there to be asked
        patch.setattr(sessions, "installed", lambda: True)
        patch.setattr("scripts.swarm.tmux.require", lambda: None)
        roots = Roots.from_environment()
        machine = Machine(roots, Random(seed))
        machine.kernel.install(patch)
        fill(roots, _SYMBOLS)
        order = orders.current(roots)
        assert order is not None
        orders.write(roots.swarm_run("bt-1").order, replace(order, rounds=10_000))
        gc.disable()  # thousands of worlds of which none has a cycle: half of the time would be spent on them
        machine.start()
        one = Ring(machine, Random(seed))
        assert machine.kernel.run(_COMES_UP_S, lambda: not one.ails(machine.kernel.boot_s)), machine.said
        try:
            yield one
        finally:
            gc.enable()


def in_groups(number: int) -> list[tuple[str, str]]:
    """The pairs of one group, mixed once and for all."""
    return Random(7).sample(PAIRS, len(PAIRS))[number::_GROUPS]


@pytest.mark.parametrize("group", range(_GROUPS))
def test_every_pair_of_faults_heals_and_nobody_dies_who_was_not_meant(group: int) -> None:
    with ring(group) as one:
        strike_all(one, in_groups(group))
        print(table(one.rows))
        wrong = [f"{' + '.join(row.pair)}: {what}" for row in one.rows for what in row.wrong]
        assert not wrong, "\n".join(wrong)
        assert every_job_is_complete_once(one) >= len(PHASES) * len(_SYMBOLS)


def test_ensure_ends_no_loop_that_runs_and_whose_state_cannot_be_read() -> None:
    with ring(0) as one:
        machine = one.machine
        machine.kernel.run(_COMES_UP_S)  # a loop that has just begun is given time in any case
        loops = {process.name: process for process in machine.kernel.living("loop")}
        machine.kernel.kill(loops["curator"], signal.SIGKILL, "a blow")
        for name in ("worker_sentry", "operation_hang_guard"):
            machine.roots.agent_state(name).write_bytes(b"")
        machine.ensure()
        assert [name for name, process in loops.items() if not process.lives] == ["curator"]
        assert "started bt-curator" in machine.said[-1]


@pytest.mark.parametrize(
    ("pair", "place"),
    [
        (("guard killed", "manager killed"), "agents.runtime.loop.nobody_heals"),
        (("tmux stopped", "agent killed"), "agents.machine.sessions.repair"),
        (("socket deleted", "guard killed"), "agents.machine.sessions.repair"),
    ],
)
def test_without_the_one_who_heals_it_a_pair_is_seen_not_to_heal(
    pair: tuple[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tests can fail. Only the swarm itself heals here: the keeper is stopped, and nobody continues it."""
    with ring(1) as one:
        monkeypatch.setattr("agents.machine.keeper.start", lambda *_: None)
        one.machine.kernel.kill(one.machine.kernel.living("keeper")[0], signal.SIGSTOP, "a blow")
        assert one.strike(pair).healed_s is not None
        monkeypatch.setattr(place, lambda *_: "")
        assert one.strike(pair).healed_s is None


def strike_all(one: Ring, pairs: list[tuple[str, str]]) -> None:
    """One after the other; of those that are left, the first for which there is a worker in its phase now."""
    left = list(pairs)
    while left:
        pair = next((two for two in left if one.is_ready(two)), left[0])
        left.remove(pair)
        one.strike(pair)
        one.machine.kernel.run(one.random.uniform(0.0, _APART_S))


def every_job_is_complete_once(one: Ring) -> int:
    """Let the run end with its round; how many jobs that were in all."""
    roots = one.machine.roots
    order = orders.current(roots)
    assert order is not None
    orders.write(roots.swarm_run("bt-1").order, replace(order, rounds=len(rounds(one.machine))))
    assert one.machine.kernel.run(_ENDS_S, roots.swarm_run("bt-1").finished.exists), "the run does not end"
    jobs = 0
    for folder in rounds(one.machine):
        records = Journal(folder.jobs).read().records
        assert completed_twice(records) == []
        jobs += sum(isinstance(r, dict) and r.get("event") == "completed" for r in records)
    assert {state.status for state in one.jobs() if not state.job.fills} == {"completed"}
    return jobs


def table(rows: list[Row]) -> str:
    """Who healed, how often, after how long."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.healed_s is not None:
            found.setdefault(", ".join(row.healed_by) or "nothing had to be started", []).append(row.healed_s)
    lines = (f"{by}: {len(s)} pairs, median {median(s):.1f} s, at most {max(s):.1f} s" for by, s in found.items())
    return "\n".join([*lines, f"{sum(row.missed for row in rows)} blows found nothing to break"])
