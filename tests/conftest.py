"""What every test has: a place for Hypothesis outside the top level, no deadlines on a busy machine, real bars."""

import os
from collections.abc import Generator
from pathlib import Path

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
    "tmux/test_whole_runs.py",
    "tmux/test_healing.py",
    "tmux/test_faults.py",
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and put it first: at the end no process is left alone with a long file.

    A file that waits and one that computes take turns, so that processes side by side seldom want the same core.
    """
    here = Path(__file__).resolve().parent
    turns = {here / name: 2 * number for number, name in enumerate(SWARMS)}
    turns |= {here / name: 2 * number + 1 for number, name in enumerate(SLOW)}
    last = len(turns) * 2

    def turn(item: pytest.Item) -> int:
        return min((turns[place] for place in (item.path, *item.path.parents) if place in turns), default=last)

    for item in items:
        if turn(item) < last:
            item.add_marker(pytest.mark.slow)
    items.sort(key=turn)


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
