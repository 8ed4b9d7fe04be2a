"""The GPUs, seen without ever waiting for their driver: a child asks the driver, and the cycle reads the last answer.

A cycle that finds no child at work starts one and goes on; the answer is there one cycle later. A child that takes
longer than `gpu_timeout_s` is ended. Until another child has answered, the GPUs are unknown: neither idle nor gone.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from agents.machine import processes
from config.record import asdict, dataclass, field, replace
from config.swarm import SwarmSettings
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import record_of
from state.host import identity
from state.host.identity import NONCE, Identity, Tree
from state.records.report_parts import Gpu

DEVICES = "BACKTEST_OPTIMIZE_DEV"  # environment variable: the folder of the device nodes, for tests without a GPU
_NONE = "no NVIDIA device"
_NEW = "the driver has not been asked yet"
_OLD_S = 120.0  # seconds after which an old answer no longer counts, for instance when the watchdog was away


@dataclass(frozen=True)
class Cards:
    """One record for each GPU. `gpus` is empty without GPUs, None when they are unknown; `reason` then says why."""

    gpus: tuple[Gpu, ...] | None = None
    reason: str = _NEW


@dataclass(frozen=True)
class Question:
    """The last question to the driver, and what is known from earlier answers."""

    nonce: str
    asked_s: float
    process: Identity | None = None
    state: Literal["asked", "answered", "overdue"] = "asked"
    known: Cards = field(default_factory=Cards)


def look(roots: Roots, limits: SwarmSettings, now_s: float) -> Cards:
    """Return what the last answer says, and ask the next question when none is open."""
    if not devices():
        return Cards((), _NONE)
    # The state of the question is on file, because each cycle is a process of its own.
    question = _followed_up(roots, limits, now_s)
    if question is not None and now_s - question.asked_s > _OLD_S and question.known.gpus is not None:
        question = replace(question, known=Cards())
    if question is None or (question.state != "asked" and not _lives(question)):
        question = _ask(roots, now_s, Cards() if question is None else question.known)
    return question.known


def devices() -> list[Path]:
    """Return the device nodes of NVIDIA cards. Without one the driver is not asked."""
    folder = Path(os.environ.get(DEVICES) or "/dev")
    return [*sorted(folder.glob("nvidia[0-9]*")), *(path for path in (folder / "dxg",) if path.exists())]


def _followed_up(roots: Roots, limits: SwarmSettings, now_s: float) -> Question | None:
    """Return the question on file, brought up to date; None when there is none of this boot."""
    try:
        question = record_of(Question, snapshot.read_json(roots.gpu_question))
    except ValueError:
        return None
    if question.process is None or question.process.boot_id != identity.boot_id():
        return None
    return _judged(roots, question, limits, now_s) if question.state == "asked" else question


def _judged(roots: Roots, question: Question, limits: SwarmSettings, now_s: float) -> Question:
    answer = snapshot.read_json(roots.gpu_answer)
    # The nonce tells this answer from a late one to an earlier question.
    if isinstance(answer, dict) and answer.get("question") == question.nonce:
        return _on_file(roots, question, "answered", _cards(answer, roots))
    late = now_s - question.asked_s > limits.agents.gpu_timeout_s
    if late:
        # The cycle does not wait for the death: a child that hangs in the driver may never die.
        processes.signal_tree(Tree.of(roots.state, question.nonce), signal.SIGKILL)
        return _on_file(roots, question, "overdue", Cards(None, f"no answer within {limits.agents.gpu_timeout_s:g} s"))
    if not _lives(question):
        return _on_file(roots, question, "overdue", Cards(None, "the process that asks it has died"))
    return question


def _on_file(roots: Roots, question: Question, state: Literal["answered", "overdue"], known: Cards) -> Question:
    one = replace(question, state=state, known=known)
    snapshot.write_json(roots.gpu_question, asdict(one))
    return one


def _ask(roots: Roots, now_s: float, known: Cards) -> Question:
    nonce = os.urandom(16).hex()
    roots.gpu_answer.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.machine.nvml", nonce, str(roots.gpu_answer)],
        cwd=CHECKOUT,
        env={**os.environ, NONCE: nonce, "STATE_ROOT": str(roots.state)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    process.returncode = 0  # Popen must not wait for the child: it outlives this cycle
    question = Question(nonce, now_s, identity.of(process.pid), "asked", known)
    snapshot.write_json(roots.gpu_question, asdict(question))
    return question


def _lives(question: Question) -> bool:
    """Whether the asking child lives. While a child hangs in the driver and cannot be killed, no other is started."""
    return question.process is not None and identity.life_of(question.process) != "dead"


def _cards(answer: dict[str, Any], roots: Roots) -> Cards:
    found = answer.get("gpus")
    if not isinstance(found, list):
        return Cards(None, f"the driver fails: {answer.get('reason')}")
    if not found:
        return Cards(None, "there are device nodes, and the driver knows of no GPU")
    try:
        cards = [record_of(Gpu, card) for card in found]
    except ValueError as error:
        return Cards(None, f"the driver's answer is damaged: {error}")
    ours = {one.pid for one in identity.of_swarm(roots.state)}
    return Cards(tuple(replace(one, foreign_pids=tuple(sorted(set(one.pids) - ours))) for one in cards), "")
