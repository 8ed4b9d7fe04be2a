"""Phase 1: run a study to the end of its budget with several processes, this one among them."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from state.files.layout import CHECKOUT
from state.files.run_folders import RunFolder
from WORKFLOW.search.job import SearchFolder
from WORKFLOW.search.study import Standing, Trial

_GRACE_S = 2.0  # seconds a helper gets to end by itself, and again after SIGTERM


def search(
    folder: RunFolder, processes: int, on_result: Callable[[Standing], None], say: Callable[[str], None]
) -> list[Trial]:
    """All trials of the study in `folder`, in order; resumes where it stands.

    `on_result` hears how far it is; `say` that a damaged study was set aside.
    """
    command = [sys.executable, "-m", "WORKFLOW.search.worker", str(folder.path), str(os.getpid())]
    with folder.search_errors.open("ab") as errors:
        helpers = [
            subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
            for _ in range(processes - 1)
        ]
    study = None
    try:
        job_folder = SearchFolder(folder)
        evaluator = job_folder.evaluator()
        study = job_folder.study(say)
        on_result(study.standing())
        study.work(partial(job_folder.job.evaluate, evaluator), on_result, lambda: True)
        return study.finished()
    finally:
        for helper in helpers:
            _end(helper)
        if study is not None:
            study.close()


def _end(helper: subprocess.Popen[bytes]) -> None:
    """The study is through, or we are leaving: a helper has nothing left to do. One that is stopped hears only KILL."""
    try:
        helper.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        helper.terminate()
        try:
            helper.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.wait()
