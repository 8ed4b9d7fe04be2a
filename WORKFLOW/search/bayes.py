"""Phase 1: run a study to the end of its budget with several processes, this one among them."""

import subprocess
import sys
from collections.abc import Callable

from state.layout import CHECKOUT, RunFolder
from WORKFLOW.search.job import SearchFolder
from WORKFLOW.search.study import Standing, Trial


class SearchProcessFailed(RuntimeError):
    """A search process ended by itself with an error: a defect, not an input."""


def search(folder: RunFolder, processes: int, on_result: Callable[[Standing], None]) -> list[Trial]:
    """All trials of the study in `folder`, in order; resumes where it stands. `on_result` hears how far it is."""
    command = [sys.executable, "-m", "WORKFLOW.search.worker", str(folder.path)]
    helpers = [
        subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(processes - 1)
    ]
    try:
        job_folder = SearchFolder(folder)
        evaluator = job_folder.evaluator()
        study = job_folder.study()
        on_result(study.standing())
        study.work(lambda parameters: job_folder.job.evaluate(evaluator, parameters), on_result, lambda: True)
        for helper in helpers:
            if helper.wait() not in (0, -9, -15):  # killed from outside is no defect: the others did its work
                raise SearchProcessFailed(f"a search process ended with exit code {helper.returncode}")
        return study.finished()
    finally:
        for helper in helpers:
            if helper.poll() is None:
                helper.terminate()
            helper.wait()
