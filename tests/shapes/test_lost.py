"""A missing record that others name is an incident; it is rebuilt if possible, and its journal says by whom."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.machine import observe
from config.record import replace
from scripts.swarm import health, sessions
from state.files import snapshot
from state.files.layout import Roots
from state.host import identity
from state.records import healing, orders
from state.records.spare import Spare
from tests.agents.worlds import ORDER
from tests.agents.yard import Yard, yard
from tests.shapes.root import filled

Files = dict[str, Callable[[Roots], Path]]
FILES: Files = {
    "settings.json": lambda roots: roots.settings,
    "swarm.json": lambda roots: roots.swarm,
    "current_run.json": lambda roots: roots.current_run,
    "runs/bt-1/order.json": lambda roots: roots.swarm_run("bt-1").order,
    "runs/bt-1/round-0000/begun.json": lambda roots: roots.swarm_run("bt-1").round(0).begun,
}


@pytest.fixture
def place() -> Iterator[Yard]:
    with filled() as one:
        yield one


def lost(roots: Roots) -> list[str]:
    limits = observe.limits_of(roots)
    return [one.record for one in observe.observe(roots, limits, {"faults"}).faults]


def rebuilt(roots: Roots) -> list[tuple[str, str]]:
    return [(one["id"], one["by"]) for one in healing.recent(roots) if one["event"] == "record_rebuilt"]


@pytest.mark.parametrize("name", FILES)
def test_what_is_gone_is_no_health_and_a_loop_that_has_seen_it_writes_it_back(place: Yard, name: str) -> None:
    path, spare = FILES[name](place.roots), Spare(place.roots, "the loop of curator")
    before = path.read_bytes()
    spare.look()
    assert name not in lost(place.roots)
    path.unlink()
    assert name in lost(place.roots)
    _, word, reasons = health.judge(place.roots)
    assert word == "degraded"
    assert any(f"{name} is gone" in one for one in reasons), reasons
    spare.look()
    assert path.read_bytes() == before
    assert rebuilt(place.roots)[-1] == (name, "the loop of curator")
    assert name not in lost(place.roots)


@pytest.mark.parametrize("name", FILES)
def test_what_is_emptied_is_no_health_before_any_agent_has_cycled(place: Yard, name: str) -> None:
    FILES[name](place.roots).write_bytes(b"")
    assert name in lost(place.roots)
    _, word, reasons = health.judge(place.roots)
    assert word == "degraded"
    assert any(f"{name} is damaged" in one for one in reasons), reasons


@pytest.mark.parametrize("name", FILES)
def test_what_is_damaged_is_kept_and_written_back(place: Yard, name: str) -> None:
    path, spare = FILES[name](place.roots), Spare(place.roots, "the loop of curator")
    before = path.read_bytes()
    spare.look()
    path.write_bytes(b"7")
    spare.look()
    assert path.read_bytes() == before
    assert path.with_name(f"{path.stem}.damaged-1.json").read_bytes() == b"7"
    assert rebuilt(place.roots)[-1] == (name, "the loop of curator")


def test_after_a_stop_nothing_is_written_back(place: Yard) -> None:
    spare = Spare(place.roots, "the loop of curator")
    spare.look()
    snapshot.write_json(place.roots.tombstone, {})
    place.roots.settings.unlink()
    spare.look()
    assert not place.roots.settings.exists()


def test_what_somebody_else_has_written_by_then_stays(place: Yard) -> None:
    """A run that has begun since: its pointer is whole, so it is what counts, and what is remembered from now on."""
    spare = Spare(place.roots, "the loop of curator")
    spare.look()
    other = replace(ORDER, run_id="bt-2")
    orders.write(place.roots.swarm_run("bt-2").order, other)
    orders.point(place.roots, other)
    spare.look()
    assert orders.current(place.roots) == other
    assert not snapshot.write_new(place.roots.current_run, b"{}")
    assert orders.pointer(place.roots) == "bt-2"


def test_a_run_folder_that_is_removed_is_named_and_its_work_begins_again(place: Yard) -> None:
    """No loop has seen it: the copy in the pointer is enough."""
    order = orders.current(place.roots)
    assert order is not None
    orders.point(place.roots, order)
    shutil.rmtree(place.roots.swarm_run("bt-1").path)
    assert "runs/bt-1" in lost(place.roots)
    _, word, reasons = health.judge(place.roots)
    assert word == "degraded"
    assert any("runs/bt-1 is gone: current_run.json names it" in one for one in reasons)
    sessions.restore(place.roots, "ensure, typed by me")
    assert orders.current(place.roots) == order
    assert rebuilt(place.roots)[-1] == ("runs/bt-1/order.json", "ensure, typed by me")
    assert "runs/bt-1" not in lost(place.roots)
    assert place.cycle("auto_scheduler") == ["enqueue_jobs round 1"]


def test_an_order_without_any_copy_is_an_incident_that_a_new_run_ends(place: Yard) -> None:
    """The order is from a version that kept no copy, so only a person can say what was ordered."""
    place.roots.swarm_run("bt-1").order.write_bytes(b"")
    sessions.restore(place.roots, "ensure, typed by me")
    world = observe.observe(place.roots, observe.limits_of(place.roots), {"faults"})
    [fault] = [one for one in world.faults if one.record == "runs/bt-1/order.json"]
    assert (fault.state, fault.by_itself) == ("damaged", False)
    assert "type the --parallel command again" in fault.remedy
    other = replace(ORDER, run_id="bt-2")
    orders.write(place.roots.swarm_run("bt-2").order, other)
    orders.point(place.roots, other)
    assert not [one for one in lost(place.roots) if one.startswith("runs/")]


def test_an_order_of_a_newer_version_is_not_taken_for_a_damaged_one(place: Yard) -> None:
    spare, path = Spare(place.roots, "the loop of curator"), place.roots.swarm_run("bt-1").order
    spare.look()
    tree = snapshot.read_json(path)
    assert isinstance(tree, dict)
    snapshot.write_json(path, {**tree, "schema": orders.SCHEMA + 1})
    newer = path.read_bytes()
    spare.look()
    assert path.read_bytes() == newer
    assert "runs/bt-1/order.json" not in lost(place.roots)


def test_a_run_that_only_agents_remember_is_an_incident(place: Yard) -> None:
    shutil.rmtree(place.roots.state / "runs")
    place.roots.current_run.unlink()
    assert "runs/bt-1" in lost(place.roots)
    _, word, reasons = health.judge(place.roots)
    assert word == "degraded"
    assert any("agents speak of it" in one for one in reasons)


def test_a_swarm_whose_records_are_all_gone_is_none_that_never_started() -> None:
    with yard() as place:
        place.process("import sys; sys.stdin.read()", "n" * 32)
        shutil.rmtree(place.roots.state)
        code, _, reasons = health.judge(place.roots)
        assert code == health.DEAD
        assert reasons[0] == "1 process of this swarm runs, and their records are gone"


def test_a_root_in_which_nothing_was_ever_started_has_lost_nothing(tmp_path: Path) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    assert lost(roots) == []
    assert identity.of_swarm(roots.state) == []
    assert health.judge(roots)[1] == "never started"


def test_the_pointer_carries_the_order(place: Yard) -> None:
    order = orders.current(place.roots)
    assert order is not None
    orders.point(place.roots, order)
    assert orders.copy_in_pointer(place.roots) == order


@pytest.mark.parametrize("name", ["..", "a/b", "", "."])
def test_names_that_are_paths_make_no_order(place: Yard, name: str) -> None:
    order = orders.current(place.roots)
    assert order is not None
    path = place.roots.swarm_run("bt-1").order
    for wrong in (replace(order, symbols=(name,)), replace(order, modes=(name,)), replace(order, run_id=name)):
        orders.write(path, wrong)
        assert orders.read(path) is None
    snapshot.write_json(place.roots.current_run, {"run_id": name})
    assert orders.pointer(place.roots) == ""
