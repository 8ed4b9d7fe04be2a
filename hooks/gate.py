"""How the gates of a point are asked: ours first, then the user's own executables."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from hooks import prescreen_artifacts, seed_handoff
from hooks.verdict import Verdict
from state import codec

Point = Literal["after_prescreen", "before_search"]
POINTS: tuple[Point, ...] = ("after_prescreen", "before_search")
FOLDER_VARIABLE = "BACKTEST_OPTIMIZE_GATES"
_DEADLINE_S = 30.0  # seconds a user's gate may take: it reads records and judges, nothing else

Facts = Mapping[str, Any]


def run_gates(point: Point, facts: Facts) -> list[Verdict]:
    """Every gate's verdict at `point`, ours and those in `$BACKTEST_OPTIMIZE_GATES/<point>/`."""
    return [gate(facts) for gate in _ours()[point]] + [_ask(path, point, facts) for path in _theirs(point)]


def _ours() -> dict[Point, list[Callable[[Facts], Verdict]]]:
    return {
        "after_prescreen": [lambda f: prescreen_artifacts.judge(Path(f["phase0"]), f["symbol"], f["mode"])],
        "before_search": [lambda f: seed_handoff.judge(Path(f["log"]), f["symbol"], f["mode"])],
    }


def _theirs(point: Point) -> list[Path]:
    folder = os.environ.get(FOLDER_VARIABLE, "")
    if not folder:
        return []
    here = Path(folder).expanduser() / point
    return [path for path in sorted(here.iterdir()) if os.access(path, os.X_OK)] if here.is_dir() else []


def _ask(path: Path, point: Point, facts: Facts) -> Verdict:
    """A gate that cannot answer has not passed."""
    try:
        done = subprocess.run(
            [str(path)],
            input=codec.encode({"point": point, **facts}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(path.name, False, f"{path} gave no answer within {_DEADLINE_S:.0f} s")
    except OSError as error:
        return Verdict(path.name, False, f"{path} cannot be run: {error.strerror}")
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    said = lines[0] if lines else f"exit code {done.returncode}"
    return Verdict(path.name, done.returncode == 0, f"{path}: {said}")
