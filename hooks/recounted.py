"""What a result tree claims, counted again in a process of its own: nothing that loads arrays is imported here."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config.errors import Refused
from config.record import dataclass
from state.files import codec
from state.files.layout import CHECKOUT
from state.records.results import AGAIN

_COUNT, _REPLAY = "WORKFLOW.recount.command", "WORKFLOW.recount.replay"
_COUNT_S, _REPLAY_S = 120.0, 1_800.0  # the longest that we wait


@dataclass(frozen=True)
class ReplayOutcome:
    """What trading a best once more on its bars came to: `done` and the same, or not done; `line` says why."""

    done: bool
    line: str


def counted(folder: Path) -> dict[str, dict[str, Any]]:
    """Best → its `checks`, judged again, `wrong`: what its files claim and its figures do not, and `unknown`.

    Raises:
        Refused: a file is not the one that the manifest names, or nobody can count.
    """
    answer = _asked([_COUNT, str(folder.absolute())], _COUNT_S)[str(folder.absolute())]
    if "refused" in answer:
        raise Refused(*answer["refused"])
    return dict(answer)


def contradictions(folders: Sequence[Path]) -> dict[Path, list[str]]:
    """Folder → what its files claim and its figures do not, best by best, counted again in one process for all.

    Raises:
        Refused: nobody can count.
    """
    names = {folder: str(folder.absolute()) for folder in folders}
    answer = _asked([_COUNT, *names.values()], _COUNT_S + len(folders)) if folders else {}
    return {
        folder: [f"{best}: {text}" for best, one in answer[name].items() if best != "refused" for text in one["wrong"]]
        for folder, name in names.items()
    }


def must_agree(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    """Raises:
    Refused: the files of a best say what its figures do not.
    """
    for best, one in found.items():
        if one["wrong"]:
            more = f" (and {len(one['wrong']) - 1} more)" if len(one["wrong"]) > 1 else ""
            raise Refused(f"{folder / best} contradicts itself: {one['wrong'][0]}{more}", AGAIN)


def replayed(folder: Path, data_path: Path | None, bests: list[str]) -> dict[str, ReplayOutcome]:
    """Each of `bests` traded once more on the bars that the manifest names, from `data_path` or where they lay.

    Raises:
        Refused: what is on file is not what these parameters trade on these bars.
    """
    if not bests:
        return {}
    words = [_REPLAY, str(folder.absolute()), str(data_path.absolute() if data_path else ""), *bests]
    found = _asked(words, _REPLAY_S)
    for best, one in found.items():
        if one["wrong"]:
            said = f"{folder / best} is not what its parameters trade on its bars: {one['wrong'][0]}"
            raise Refused(said, AGAIN)
    return {best: ReplayOutcome(one["done"], one["line"]) for best, one in found.items()}


def _asked(words: list[str], longest_s: float) -> dict[str, Any]:
    # The few numbers of a result are added up sooner than compiled code is loaded: the same operations, the same order.
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"} if words[0] == _COUNT else None
    try:
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=longest_s,
            check=False,
        )
        answer = codec.decode(done.stdout.splitlines()[-1]) if done.stdout.strip() else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Refused(f"the result cannot be counted again: {error}", "scripts/backtest-optimize doctor") from None
    if not isinstance(answer, dict):
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise Refused(f"the result cannot be counted again: {last}", "scripts/backtest-optimize doctor")
    return answer
