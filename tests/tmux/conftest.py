import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tmux.swarm import Swarm
from tests.tmux.swarm import swarm as a_swarm
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
    return write_demo(tmp_path_factory.mktemp("data"), days=150, seed=11)


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with a_swarm() as one:
        yield one
