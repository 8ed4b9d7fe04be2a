"""A damaged record is kept beside its replacement, and the swarm reports both."""

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.keeper import watch
from state.files import snapshot
from state.files.layout import Roots
from state.records import healing, request
from tests.agents.yard import Yard, yard


@pytest.fixture
def place() -> Iterator[Yard]:
    with yard() as one:
        yield one


def told(roots: Roots, event: str) -> list[dict[str, Any]]:
    return [one for one in healing.recent(roots) if one["event"] == event]


def test_an_agent_keeps_its_damaged_state_beside_a_new_one_and_goes_on_with_what_fits(place: Yard) -> None:
    place.cycle("watchdog")
    path = place.roots.agent_state("watchdog")
    state = snapshot.read_json(path)
    assert isinstance(state, dict)
    snapshot.write_json(path, {**state, "actions_last_cycle": ["x"]})
    damaged = path.read_bytes()
    assert place.cycled("watchdog").cycle == state["cycle"] + 1
    aside = path.with_name("swarm_control_state.damaged-1.json")
    assert aside.read_bytes() == damaged
    [found], [remedy] = told(place.roots, "record_damaged"), told(place.roots, "record_rebuilt")
    assert (found["id"], remedy["by"]) == (path.name, "watchdog")
    assert "'x' is no Deed" in found["what"]
    assert aside.name in remedy["why"]
    place.cycle("watchdog")
    assert len(told(place.roots, "record_damaged")) == 1, "what is whole again is not said again"


def test_what_was_damaged_for_a_moment_is_an_incident_that_opened_and_closed(place: Yard) -> None:
    place.cycle("session_state_manager")
    path = place.roots.agent_state("curator")
    place.cycle("curator")
    path.write_bytes(b'"x"')
    place.cycle("curator")
    place.cycle("session_state_manager")
    said = place.roots.session_events.read_text(encoding="utf-8")
    assert '"incident_opened","id":"record_damaged:curator_state.json"' in said
    assert '"incident_closed","id":"record_damaged:curator_state.json"' in said


def test_a_launch_and_a_request_that_hold_none_are_set_aside_and_their_jobs_go_on(place: Yard) -> None:
    job = place.enqueued()
    launch, child, _ = place.worker(job)
    asked = request.ask(place.roots.requests, place.clock, "cancel_job", "nobody", "a test", {})
    files = (place.roots.launch(launch.worker_id), place.roots.requests / f"{asked.request_id}.json")
    for path in files:
        path.write_bytes(b'{"job": 7}')
    done = place.cycle("watchdog")
    assert [deed for deed in done if deed.startswith("set_aside")] == [
        f"set_aside {path.relative_to(place.roots.state)}" for path in files
    ]
    for path in files:
        assert not path.exists()
        assert path.with_name(f"{path.stem}.damaged-1.json").read_bytes() == b'{"job": 7}'
    assert len(told(place.roots, "record_set_aside")) == 2
    assert [deed for deed in place.cycle("watchdog") if deed.startswith("set_aside")] == []
    assert child.poll() is None, "nobody is ended for a record that is damaged"
    assert place.cycle("worker_sentry")[0] == f"record_death {job.job_id}"


def test_a_second_damage_takes_the_next_name(place: Yard) -> None:
    path = place.roots.state / "x.json"
    for number, text in enumerate((b"1", b"2", b"3"), 1):
        path.write_bytes(text)
        assert snapshot.set_aside(path).name == f"x.damaged-{number}.json"
        assert not path.exists()
    path.mkdir()
    assert snapshot.set_aside(path).name == "x.damaged-4.json"


def test_a_keeper_writes_its_damaged_record_back_and_ends_only_when_it_is_gone(place: Yard) -> None:
    path = place.roots.keeper
    record = {"environment": dict(place.environment), "every_s": 60.0, "identity": None}
    snapshot.write_json(path, record)
    assert watch._current(place.roots.state, None) == record
    path.write_bytes(b'{"environment": 7}')
    assert watch._current(place.roots.state, record) == record
    assert snapshot.read_json(path) == record
    assert path.with_name("keeper.damaged-1.json").read_bytes() == b'{"environment": 7}'
    path.unlink()
    assert watch._current(place.roots.state, record) is None
