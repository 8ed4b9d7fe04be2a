"""Places for the start-up of commands; the environment of one of them is made once and copied by the others."""

import os
import shutil
from pathlib import Path

import pytest

from tests.once import once
from tests.scripts.places import Place


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place after its first start, with the output of the start beside it. No test may change it."""

    def make(root: Path) -> None:
        place = Place(root).lay()
        done = place.start()
        (root / "said").write_text(done.stderr, encoding="utf-8")
        assert done.returncode == 0, done.stderr

    return Place(once(tmp_path_factory, "made", make))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path).lay()


@pytest.fixture
def ready(place: Place, made: Place) -> Place:
    """Return a fresh place with a copy of the environment."""
    shutil.copytree(made.venv, place.venv, symlinks=True, copy_function=_same_or_copied)
    return place


def _same_or_copied(source: str, target: str) -> None:
    """Link modules, because an update replaces a module's file and never writes into it; copy all other files."""
    if source.endswith((".py", ".pyc")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
