"""A search process that takes part in a study until the study is done or its parent process is gone.

`python -m WORKFLOW.search.worker RUN_FOLDER PARENT_PID`
"""

import os
import sys
from functools import partial
from pathlib import Path

from state.files.run_folders import RunFolder
from state.host import process


def main(argv: list[str]) -> int:
    """Work on the study in the run folder `argv[0]`, as long as the process `argv[1]` is our parent.

    The parent passes its own id, because imports take seconds: if it died meanwhile, another process is our parent now.
    """
    parent = int(argv[1])
    if os.getppid() != parent:
        return 0
    from WORKFLOW.search.job import SearchFolder

    search = SearchFolder(RunFolder(Path(argv[0])))
    evaluator = search.evaluator()
    search.study().work(
        evaluate=partial(search.job.evaluate, evaluator),
        on_result=lambda _: None,
        may_go_on=lambda: os.getppid() == parent,  # an orphan ends after its current trial; the study can be resumed
    )
    return 0


if __name__ == "__main__":
    process.begin()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
