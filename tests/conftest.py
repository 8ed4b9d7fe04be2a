"""What every test has: a place for Hypothesis outside the top level, no deadlines on a busy machine, real bars."""

import os
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).resolve().parent.parent / "state" / ".cache" / "hypothesis")
)

import pytest
from hypothesis import settings

from config.errors import Refused
from scripts.infra import environment
from state.files import private
from state.files.layout import CHECKOUT

# The tables' own assertions explain themselves, as those of a test do; said here, before anybody imports them.
pytest.register_assert_rewrite("tests.engines.builders")

# The first example may compile a kernel; a test's time limit is the whole run's.
settings.register_profile("checkout", deadline=None, print_blob=True)
settings.load_profile("checkout")


# `scripts/check --fast` leaves these out: what takes more than a quarter of a minute on two cores, the longest first.
# All of tests/tmux is slow: real swarms, which mostly wait; others mostly compute.
SWARMS = (
    "tmux/test_faults.py",
    "tmux/test_whole_runs.py",
    "tmux/test_healing.py",
    "tmux/test_safety.py",
    "tmux/test_keeper.py",
    "tmux/test_locales.py",
    "tmux/test_lanes.py",
    "tmux/test_hooks.py",
    "tmux/test_roots.py",
    "tmux/test_rescue.py",
    "tmux",
)
SLOW = (
    "agents/test_pairs.py",
    "WORKFLOW/test_killed_runs.py",
    "WORKFLOW/test_equal_runs.py",
    "WORKFLOW/test_optimize_strategy.py",
    "WORKFLOW/test_what_a_run_leaves.py",
    "crosscheck",
    "scripts/test_bench.py",
    "report/test_publishing.py",
    "scripts/test_environment.py",
    "scripts/test_environment_refused.py",
    "scripts/test_install.py",
    "WORKFLOW/test_steps.py",
    "search/test_database.py",
    "WORKFLOW/test_lane_mends.py",
    "agents/test_advisers.py",
    "properties/test_engines_agree.py",
    "fetch/test_download.py",
    "gpu/test_face.py",
    "report/tearsheet/test_hostile_trades.py",
    "WORKFLOW/test_frames.py",
    "data/test_hostile.py",
    "hooks/test_lying_results.py",
    "machine/test_strangers.py",
    "scripts/test_command.py",
    "hooks/test_promotion.py",
    "guides/test_first_hour.py",
    "guides/test_your_own_bars.py",
)
# Of these, each test goes to whichever process is free next. Of all others a file stays together, for what it shares.
APART = ("tmux", "agents/test_pairs.py", "report/test_publishing.py", "WORKFLOW/test_equal_runs.py")

_HERE = Path(__file__).resolve().parent


@cache
def place_of(path: Path, places: tuple[str, ...]) -> int | None:
    """Return the index of the first place that is this file or holds it; None when there is none."""
    return next((n for n, place in enumerate(places) if _HERE / place in (path, *path.parents)), None)


@cache
def unit_of(nodeid: str) -> str:
    """Return the name of all tests that go to one process together with this test."""
    file, _, _ = nodeid.partition("::")
    return file if place_of(_HERE.parent / file, APART) is None else nodeid


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and put it first: at the end no process is left alone with a long file.

    A unit that waits and one that computes take turns, so that processes side by side seldom want the same core.
    """
    order: dict[str, float] = {}
    for places, half in ((SWARMS, 0.0), (SLOW, 0.5)):
        found = [(place_of(item.path, places), item) for item in items]
        slow = sorted(((place, item) for place, item in found if place is not None), key=lambda pair: pair[0])
        for _, item in slow:
            item.add_marker(pytest.mark.slow)
        for number, unit in enumerate(dict.fromkeys(unit_of(item.nodeid) for _, item in slow)):
            order[unit] = number + half
    items.sort(key=lambda item: order.get(unit_of(item.nodeid), float("inf")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal out units of tests in their order; `scripts/check` asks for it by `--dist loadfile`."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Units(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    return Units(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Let no test inherit a umask: a command called in a test's own process closes that process to other users."""
    users = os.umask(private.CLOSED)
    os.umask(users)
    remembered = os.environ.get(private.UMASK)
    try:
        return (yield)
    finally:
        os.umask(users)
        if remembered is None:
            os.environ.pop(private.UMASK, None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("BACKTEST_OPTIMIZE_DATA") or CHECKOUT.parent / "shared" / "data")
    if not (folder / "SOLUSDT_5m.csv.gz").is_file():
        pytest.skip(f"no real market data in {folder}; BACKTEST_OPTIMIZE_DATA names the folder")
    return folder


@pytest.fixture(scope="session")
def ccxt_python() -> Path:
    """The interpreter of ccxt's own environment, which the first test that needs it makes."""
    try:
        return environment.beside(CHECKOUT, "fetch")
    except Refused as refused:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the environment for ccxt cannot be made here: {refused.reason}")
