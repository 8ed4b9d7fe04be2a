"""Every command of the guide, as it stands there, in front of an exchange on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.files.layout import CHECKOUT
from tests.fetch.binance import Binance, serving
from tests.WORKFLOW.pipeline import SETTINGS

GUIDES = CHECKOUT / "docs" / "guides"
DAY_MS = 86_400_000
DAYS = 110


def commands(page: str) -> list[str]:
    text = (GUIDES / page).read_text(encoding="utf-8")
    return [line for block in re.findall(r"```bash\n(.*?)```", text, re.S) for line in block.splitlines()]


@pytest.fixture
def exchange(ccxt_python: Path) -> Iterator[Binance]:
    """A market that was listed a few months ago, up to now."""
    midnight = int(time.time() * 1000) // DAY_MS * DAY_MS
    server = Binance(now_ms=midnight)
    server.add("SOLUSDT", "5m", DAYS * 288 + 1, midnight - DAYS * DAY_MS)
    with serving(server):
        yield server


def typed(line: str, home: Path, exchange: Binance) -> subprocess.Popen[str]:
    """In a shell, as a person types it; the exchange and a port that is free are all that is added."""
    if line.startswith("scripts/fetch-data"):
        line += f" --ccxt '{json.dumps(exchange.options())}'"
    if " dashboard " in line:
        line += " --port 0"
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    ours = {"HOME": str(home), "RESULTS_ROOT": str(home / "r"), "VENV_PATH": sys.prefix}
    path = {"PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        cwd=CHECKOUT,
        env=kept | SETTINGS | ours | path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_every_command_of_the_first_hour(exchange: Binance, tmp_path: Path) -> None:
    said: list[str] = []
    lines = commands("your_own_bars.md")
    assert lines[0] == lines[-1]
    for line in lines:
        with typed(line, tmp_path, exchange) as process:
            assert process.stdout is not None
            if " dashboard " in line:
                shown = ""
                while "Ctrl-C ends it" not in shown:
                    more = process.stdout.readline()
                    assert more, shown
                    shown += more
                process.send_signal(signal.SIGINT)
                said.append(shown + process.communicate(timeout=60)[0])
            else:
                said.append(process.communicate(timeout=300)[0])
        assert process.returncode == 0, f"{line}\n{said[-1]}"
    fetch, check, search, table, look, export, again = said
    bars = f"SOL/USDT 5m: {DAYS * 288:,} bars"
    assert f"{bars}, {DAYS * 288:,} of them new" in fetch
    assert f"{bars}, 0 of them new" in again
    assert "passed: nothing stands against a run" in check
    assert "in-sample → out-of-sample" in search
    assert "SOL/aggressive/best_sharpe" in table
    assert "40 trials of" in look
    assert str(tmp_path / "try" / "strategies" / "SolAggressiveBestSharpe.py") in export
    assert (tmp_path / "data" / "SOL_USDT-5m.feather").is_file()


def test_the_page_about_freqtrade_types_what_was_run() -> None:
    [line] = commands("freqtrade.md")
    assert line in commands("your_own_bars.md")
