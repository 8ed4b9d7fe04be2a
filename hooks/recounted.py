"""Compute again what a result tree claims, in a separate process, because this one must not load numeric libraries."""

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
_COUNT_S, _REPLAY_S = 120.0, 1_800.0  # seconds that the process may take at most


@dataclass(frozen=True)
class ReplayOutcome:
    """The outcome of trading a best once more on its bars. `done`: it was traded, and all is the same. `line` says so,
    or why it was not traded.
    """

    done: bool
    line: str


def counted(folder: Path) -> dict[str, dict[str, Any]]:
    """Return for each best its `checks`, judged again; `wrong`, the claims that its figures contradict; and `unknown`,
    the claims that they cannot confirm.

    Raises:
        Refused: a file is not the one that the manifest names, or the process gave no answer.
    """
    answer = _asked([_COUNT, str(folder.absolute())], _COUNT_S)[str(folder.absolute())]
    if "refused" in answer:
        raise Refused(*answer["refused"])
    return dict(answer)


def contradictions(folders: Sequence[Path]) -> dict[Path, list[str]]:
    """Return for each folder the claims of its files that its figures contradict; one process computes all folders.

    Raises:
        Refused: the process gave no answer.
    """
    names = {folder: str(folder.absolute()) for folder in folders}
    answer = _asked([_COUNT, *names.values()], _COUNT_S + len(folders)) if folders else {}
    return {
        folder: [f"{best}: {text}" for best, one in answer[name].items() if best != "refused" for text in one["wrong"]]
        for folder, name in names.items()
    }


def must_agree(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    """Check that the files of no best contradict its figures; `found` is the answer of `counted`.

    Raises:
        Refused: they do.
    """
    for best, one in found.items():
        if one["wrong"]:
            more = f" (and {len(one['wrong']) - 1} more)" if len(one["wrong"]) > 1 else ""
            raise Refused(f"{folder / best} contradicts itself: {one['wrong'][0]}{more}", AGAIN)


def replayed(folder: Path, data_path: Path | None, bests: list[str]) -> dict[str, ReplayOutcome]:
    """Trade each of `bests` once more on the bars that the manifest names; return the outcome by best.

    The bars are read from `data_path`; with None, from where the run found them.

    Raises:
        Refused: trading gives something else than what is on file, or the process gave no answer.
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
    # Adding up the few numbers of a result takes less time than loading compiled code. Without such code, the
    # operations and their order are the same, and so are the results.
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
