"""A worker of the swarm allows what a person allowed on the command line, because the order records it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import Refused
from config.settings import load, tree_of
from scripts.swarm import parallel
from state.files.layout import Roots
from state.records import orders
from tests.agents.yard import Yard, yard
from WORKFLOW.command_line import reading_of
from WORKFLOW.data.generate import write_demo
from WORKFLOW.pipeline.lane.given import LaneContext


@pytest.fixture
def here() -> Iterator[Yard]:
    with yard() as one:
        yield one


def wished(words: list[str], roots: Roots) -> parallel.RunWish:
    asked = parallel.parser().parse_args(words)
    asked.reading = reading_of(asked)
    return parallel._wish(asked, roots)


@pytest.mark.parametrize("allowed", [True, False])
def test_the_order_on_file_says_so(tmp_path: Path, allowed: bool) -> None:
    data, roots = write_demo(tmp_path / "data", days=2), Roots(tmp_path, tmp_path / "state", tmp_path / "logs")
    words = ["--symbols", "SYNTHETIC", "--data-path", str(data), *(["--allow-wicks"] if allowed else [])]
    wish = wished(words, roots)
    order, resumed = parallel._order(roots, wish)
    assert (order.allow_wicks, resumed) == (allowed, False)
    assert orders.must(roots.swarm_run(order.run_id).order).allow_wicks is allowed
    assert wished([], roots) == wish  # typed again without a word: the same run


def test_a_run_that_allows_them_is_another_run(tmp_path: Path) -> None:
    data, roots = write_demo(tmp_path / "data", days=2), Roots(tmp_path, tmp_path / "state", tmp_path / "logs")
    words = ["--symbols", "SYNTHETIC", "--data-path", str(data)]
    bare, allowing = (wished([*words, *more], roots) for more in ([], ["--allow-wicks"]))
    assert parallel._key(bare) != parallel._key(allowing)


def test_the_same_command_goes_on_with_a_run_that_an_earlier_version_began(tmp_path: Path) -> None:
    """The order's key is of other code, and its settings lack one that is new: they are what they were by default."""
    data, roots = write_demo(tmp_path / "data", days=2), Roots(tmp_path, tmp_path / "state", tmp_path / "logs")
    words = ["--symbols", "SYNTHETIC", "--data-path", str(data)]
    wish = wished(words, roots)
    order, _ = parallel._order(roots, wish)
    known = {name: value for name, value in order.settings["run"].items() if name != "stop_when_holdout_spent"}
    earlier = replace(order, key="of other code", settings={**order.settings, "run": known})
    orders.write(roots.swarm_run(order.run_id).order, earlier)
    assert parallel._order(roots, wish) == (earlier, True)
    with pytest.raises(Refused, match="another run is under way"):
        parallel._order(roots, wished([*words, "--seed", "9"], roots))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_worker_does_as_its_order_says(here: Yard, allowed: bool) -> None:
    launch, child, pulse = here.worker(here.enqueued("preflight"))
    child.kill()
    order = orders.must(here.roots.swarm_run("bt-1").order)
    order = replace(order, settings=tree_of(load({})), allow_wicks=allowed)
    assert LaneContext(launch, here.roots, order, pulse).order.allow_wicks is allowed


def test_an_order_of_an_earlier_version_allows_nothing(here: Yard) -> None:
    path = here.roots.swarm_run("bt-1").order
    record = json.loads(path.read_text())
    del record["allow_wicks"]
    path.write_text(json.dumps(record))
    assert orders.must(path).allow_wicks is False
