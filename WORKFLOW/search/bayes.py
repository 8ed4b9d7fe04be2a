"""Phase 1: run a study to the end of its budget with several processes, including this one."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from state.files.layout import CHECKOUT
from state.files.run_folders import RunFolder
from WORKFLOW.search.job import SearchFolder
from WORKFLOW.search.study import Standing, Trial

_GRACE_S = 2.0  # seconds that a helper process gets to end by itself, and again after SIGTERM


def search(
    folder: RunFolder, processes: int, on_result: Callable[[Standing], None], say: Callable[[str], None]
) -> list[Trial]:
    """Return all trials of the study in `folder`, in order; the study resumes where it stopped.

    `on_result` receives the progress, and `say` the message that a damaged study was set aside.
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
    """End a helper process: the study is complete, or this process is leaving. A stopped process obeys SIGKILL only."""
    try:
        helper.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        helper.terminate()
        try:
            helper.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.wait()
