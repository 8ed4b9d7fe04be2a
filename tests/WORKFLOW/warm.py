"""A process that has loaded the pipeline and its kernels, and forks a whole process for each run.

A run by path takes two seconds of one core to load numba, pyarrow, optuna and the compiled kernels. A fork has them: it
is a process with an environment, files, locks and a death of its own, which ends through the same `main`.
"""

import atexit
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from state.files.layout import CHECKOUT

_DEADLINE_S = 300.0  # of one run, and of a first compilation of all kernels
_FEW = ["--prescreen", "64", "--trials", "2", "--paths", "2", "--symbol", "SYNTHETIC", "--json"]


class Warm:
    """The asking side."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        kill_at: tuple[str, int] | None = None,
        file_bytes: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """A run in a fork. `kill_at`: it kills itself at the nth entry of `module:function`; `file_bytes`: no file of
        it may become larger."""
        with tempfile.TemporaryDirectory() as folder:
            asked = {"arguments": list(arguments), "environment": dict(environment), "folder": folder}
            code = self._ask(asked | {"kill_at": kill_at, "file_bytes": file_bytes})
            out, err = (Path(folder, name).read_text(encoding="utf-8") for name in ("out", "err"))
        return subprocess.CompletedProcess(list(arguments), code, out, err)

    def _ask(self, asked: dict[str, Any]) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], _DEADLINE_S)[0]:
            self.end()
            raise TimeoutError(f"no end of {asked['arguments']} in {_DEADLINE_S:.0f} s")
        return int(self.process.stdout.readline())

    def end(self) -> None:
        """End it, and whatever runs in a fork of it."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
        process.cache_clear()


@cache
def process() -> Warm:
    """The one of this test process; it ends with it."""
    warm = Warm()
    atexit.register(warm.end)
    return warm


# the side that is asked -----------------------------------------------------------------------------------------------


def serve() -> int:
    """Fork for each line that is read, and answer with the fork's exit code; in a fork, that code is the answer."""
    _warm_up()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            return _forked(asked)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return 0


def _warm_up() -> None:
    """Load what a run loads, by a run of the shortest kind on the fewest bars, in a fork's own folder."""
    from WORKFLOW.data.generate import write_demo
    from WORKFLOW.optimize_strategy import main

    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nothing:
        few = {"RESULTS_ROOT": folder, "BACKTEST_OPTIMIZE__VALIDITY__PLACEBO_MARKETS": "1"}
        bars = write_demo(Path(folder), days=90, seed=11)
        before, streams = dict(os.environ), (sys.stdout, sys.stderr)
        os.environ.update(few)
        sys.stdout = sys.stderr = nothing
        try:
            main([*_FEW, "--data-path", str(bars)])
        finally:
            sys.stdout, sys.stderr = streams
            _become(before)


def _become(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _forked(asked: Mapping[str, Any]) -> int:
    from WORKFLOW.optimize_strategy import main

    _become(asked["environment"])
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, f"{asked['folder']}/out", os.O_WRONLY | os.O_CREAT),
        (2, f"{asked['folder']}/err", os.O_WRONLY | os.O_CREAT),
    ):
        file = os.open(name, flags, 0o600)
        os.dup2(file, number)
        os.close(file)
    if asked["file_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_bytes"],) * 2)
    if asked["kill_at"] is not None:
        _die_at(*asked["kill_at"])
    return main(asked["arguments"])


def _die_at(where: str, passes: int) -> None:
    """Kill this process, by signal 9, at the nth entry of `module:function`."""
    module, _, path = where.partition(":")
    *owners, name = path.split(".")
    owner = import_module(module)
    for step in owners:
        owner = getattr(owner, step)
    real: Callable[..., Any] = getattr(owner, name)
    left = [passes]

    def dying(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, name, dying)


if __name__ == "__main__":
    sys.exit(serve())
