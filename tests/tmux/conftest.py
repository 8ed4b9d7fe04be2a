import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.tmux.swarm import Swarm
from tests.tmux.swarm import swarm as a_swarm
from tests.WORKFLOW.pipeline import artifacts
from WORKFLOW.data.generate import write_demo


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("tmux") or os.environ.get("CI"):
        return  # continuous integration installs tmux; a skip there would hide that it has not
    reason = "tmux is not installed (apt-get install tmux)"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data"), days=100, seed=11)


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with a_swarm() as one:
        yield one


@pytest.fixture(scope="session")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """The results of one process on the same bars with these words; the same words are computed once."""

    @cache
    def computed(*words: str) -> dict[str, Any]:
        results = tmp_path_factory.mktemp("alone")
        with a_swarm() as one:
            order = ("--single", "--symbol", "SYNTHETIC", "--mode", "aggressive", "--data-path", str(data), *words)
            done = one.type(*order, RESULTS_ROOT=str(results), LC_ALL="C.UTF-8")
        assert done.returncode == 0, done.stderr
        return artifacts(results)

    return computed
