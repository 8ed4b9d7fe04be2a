"""Places for the start-up of commands; the environment of one of them is made once and copied by the others."""

import os
import shutil
from pathlib import Path

import pytest

from tests.once import once
from tests.scripts.places import Place


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose first start is over; what it said is kept beside it. Nobody may change it."""

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
    """A fresh place with a copy of the environment that was made."""
    shutil.copytree(made.venv, place.venv, symlinks=True, copy_function=_same_or_copied)
    return place


def _same_or_copied(source: str, target: str) -> None:
    """A module is the same file: whoever brings another one puts it in its place. All else is copied."""
    if source.endswith((".py", ".pyc")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
