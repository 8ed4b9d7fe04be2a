"""The question to a tool and its answer, as two files, so that the tool can run in another process and environment."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused
from state.files.layout import CHECKOUT
from WORKFLOW.crosscheck.agreement import FILL, Fills
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import Rules

# The program of each tool. vectorbt's is a module of ours; the other stands alone and may import nothing of ours.
_PROGRAMS = {
    "vectorbt": ("-m", "WORKFLOW.crosscheck.with_vectorbt"),
    "backtesting": ("-I", str(Path(__file__).resolve().parent / "with_backtesting.py")),
}


@dataclass(frozen=True)
class ToolQuestion:
    """One run: recipe, execution rules, and what each bar's close decided, int8 (n,).

    `event` is 1 for a turn to long, -1 for a turn to short, and 0 otherwise. `enter` is the same where a position may
    be opened. `on_ticks` says whether stop and limit levels are rounded to ticks, as our engines do if the market has
    ticks.
    """

    recipe: str
    rules: Rules
    on_ticks: bool
    event: NDArray[np.int8]
    enter: NDArray[np.int8]

    @classmethod
    def of(cls, recipe: str, rules: Rules, on_ticks: bool, signal: Signal, window: Window) -> "ToolQuestion":
        """Return the events of `signal` inside `window`; the first is the first change of a known side."""
        event = np.zeros(len(signal.side), dtype=np.int8)
        changed = np.flatnonzero(signal.side[1:] != signal.side[:-1]) + 1
        changed = changed[(changed >= window.start) & (changed < window.stop) & (changed > signal.first_side)]
        event[changed] = np.where(signal.side[changed], 1, -1)
        wanted = {"both": (1, -1), "long_only": (1,), "short_only": (-1,)}[rules.direction]
        return cls(
            recipe, rules, on_ticks, event, np.where(np.isin(event, wanted) & signal.armed, event, 0).astype(np.int8)
        )


@dataclass(frozen=True)
class ToolAnswer:
    """The tool's version, and the closed trades of every question."""

    version: str
    fills: tuple[Fills, ...]


def ask(
    tool: str,
    market: Market,
    questions: Sequence[ToolQuestion],
    python: Path | None = None,
    on_done: Callable[[int], None] = lambda _: None,
) -> ToolAnswer:
    """Run `tool` over `market` in a process of its own; `on_done` receives how many questions are answered.

    Prices are sent in the market's unit, in ticks if there are ticks, so that the tool's comparisons are exact, too.

    Raises:
        Refused: the tool is not installed, or failed; the last line of its output is the reason.
    """
    with tempfile.TemporaryDirectory(prefix="backtest-optimize-crosscheck-") as folder:
        asked, answered = Path(folder) / "question.npz", Path(folder) / "answer.npz"
        _write(asked, market, questions)
        command = [str(python or sys.executable), *_PROGRAMS[tool], str(asked), str(answered)]
        errors = Path(folder) / "stderr"
        with (
            errors.open("wb") as stderr,
            subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=stderr, env=_environment()) as run,
        ):
            assert run.stdout is not None
            for line in run.stdout:
                if line.strip().isdigit():
                    on_done(int(line))
        if run.returncode or not answered.exists():
            words = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = f"{tool} ended with {run.returncode}: {words[-1] if words else 'without a word'}"
            raise Refused(reason, "nothing was compared: type the command again, or take another --engine")
        return _read(answered, market, len(questions))


def _environment() -> dict[str, str]:
    """Return our environment, without warnings about how the tools use pandas, and without a display to draw on."""
    return os.environ | {"PYTHONWARNINGS": "ignore", "MPLBACKEND": "agg"}


def _write(path: Path, market: Market, questions: Sequence[ToolQuestion]) -> None:
    runs = [{"recipe": q.recipe, "on_ticks": q.on_ticks, **asdict(q.rules)} for q in questions]
    signals = {f"{name}_{k}": getattr(q, name) for k, q in enumerate(questions) for name in ("event", "enter")}
    prices = {name: getattr(market, name) for name in ("open", "high", "low", "close")}
    np.savez(path, runs=np.array(json.dumps(runs)), **prices, **signals)


def _read(path: Path, market: Market, count: int) -> ToolAnswer:
    with np.load(path) as answer:
        fills = [_in_currency(answer[f"fills_{k}"].astype(FILL), market.per_unit) for k in range(count)]
        return ToolAnswer(str(answer["version"]), tuple(fills))


def _in_currency(fills: Any, per_unit: float) -> Fills:
    for name in ("entry_price", "exit_price", "pnl_per_unit"):
        fills[name] /= per_unit
    return np.sort(fills, order=["entry_bar"])
