"""Every command of FIRST_HOUR.md, as it stands there and in that order, with roots of its own."""

import fcntl
import itertools
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from state.files.layout import CHECKOUT
from tests.tmux.swarm import Swarm, swarm
from tests.WORKFLOW.pipeline import SETTINGS
from WORKFLOW.data.generate import write_demo

PAGE = (CHECKOUT / "docs" / "guides" / "FIRST_HOUR.md").read_text(encoding="utf-8")
# What the page shows of an answer and what a reader will look for in it.
SHOWN = {
    "--single": ("in-sample → out-of-sample", "filled: 1 hole, 16 bars, flat at the previous close:", "chance alone"),
    "promotion.py": (
        "not promoted: failed: real_data",
        "which luck gives with probability 0.01",
        "looks at this holdout",
    ),
    "generate-tearsheet": ("SYNTHETIC-aggressive-best_sharpe.html", "comparison.html"),
    "--all": ("strategies without skill is expected at", "SYNTHETIC/aggressive/best_sharpe"),
    "--wait": ("going on with bt-", "the swarm is up already"),
    "status": ("agents alive", "then the run is complete"),
    "attach": ("agents alive",),
    "explain": ("decides in cycle", "launch_worker r0.SYNTHETIC.aggressive.search.0", "was completed at"),
    "stop": ("it stays stopped; the run is complete, its results: scripts/backtest-optimize results",),
}
LARGE_BATCHES = {"BACKTEST_OPTIMIZE__PRESCREEN__BATCH_COMBOS": "16384"}  # a checkpoint each costs more than the combos
_BETWEEN_KEYS_S = 0.1  # two within a millisecond are a paste to tmux (assume-paste-time), and no binding is looked up
_DEADLINE_S = 120.0  # for a screen to be drawn on a loaded machine


def commands() -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


def smaller(line: str, bars: Path) -> str:
    """The same on a fifth of the bars; the first search is typed as it stands."""
    named = "--symbols" if "--parallel" in line else "--symbol"
    rounds = " --rounds 1" if "--parallel" in line else ""
    return line.replace("--demo", f"{named} SYNTHETIC --data-path {bars}{rounds}")


def typed(line: str, one: Swarm, cwd: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env=one.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


def on_a_terminal(line: str, one: Swarm) -> tuple[int, str]:
    """Until the page is drawn; then Ctrl-B d."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line}"], cwd=CHECKOUT, env=one.environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    drawn, keys, deadline = "", itertools.cycle((b"\x02", b"d")), time.monotonic() + _DEADLINE_S
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], _BETWEEN_KEYS_S)[0]:
                drawn += os.read(ours, 65_536).decode(errors="replace")
            elif "agents alive" in drawn:
                os.write(ours, next(keys))
    except OSError:
        pass  # nobody has the terminal open any more
    finally:
        os.close(ours)
        if time.monotonic() >= deadline:
            process.kill()
    return process.wait(timeout=60), drawn


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("tmux") and not os.environ.get("CI"), reason="tmux is not installed")
def test_every_command_of_the_first_hour(tmp_path: Path) -> None:
    bars = write_demo(tmp_path / "bars", days=150, seed=11)
    clone, *lines = commands()
    assert lines[:2] == ["cd backtest-optimize", "scripts/backtest-optimize --version"]
    with swarm() as one:
        one.environment |= SETTINGS | LARGE_BATCHES | {"HOME": str(tmp_path)}
        one.environment["PATH"] = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
        if (CHECKOUT / ".git").exists():
            code, said = typed(clone.replace("URL", str(CHECKOUT)), one, tmp_path)
            assert code == 0, said
            code, said = typed(lines[1], one, tmp_path / "backtest-optimize")
            assert (code, said.startswith("backtest-optimize ")) == (0, True), said
        results = one.roots.results
        front = results / "Backtests" / "optimizations" / "SYNTHETIC" / "aggressive" / "pareto_front.json"
        for number, line in enumerate(lines[2:]):
            here = line.replace("state/run", str(results))
            here = here if number == 0 else smaller(here, bars)
            name = next((word for word in SHOWN if re.search(rf"(^|[ /]){re.escape(word)}( |$)", line)), "")
            is_screen = name == "attach"
            code, said = on_a_terminal(here, one) if is_screen else typed(here, one, CHECKOUT)
            assert code == (1 if name == "promotion.py" else 0), f"{line}\n{said}"
            assert all(words in said for words in SHOWN.get(name, ())), f"{line}\n{said}"
            if "OBJECTIVES" in line:
                assert json.loads(front.read_text(encoding="utf-8"))["front"]
        assert one.roots.tombstone.exists()


def test_every_answer_that_is_looked_for_is_shown_on_the_page() -> None:
    assert {name for name in SHOWN if not any(name in line for line in commands())} == set()
    missing = [words for shown in SHOWN.values() for words in shown if words not in PAGE]
    assert missing == []
