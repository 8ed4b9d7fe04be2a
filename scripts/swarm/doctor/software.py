"""The virtual environment and tmux."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.infra import environment, requirements
from scripts.swarm.doctor.finding import ERROR, NOTE, WARNING, Diagnosis, Patient, ok

_IMPORT_S = 120.0  # numba, optuna and pandas from a cold disk
_ASK_S = 3.0
_OLDEST_TMUX = (3, 2)  # the first that takes new-session -e
_IMPORTED_AS = {"pyyaml": "yaml", "nvidia-ml-py": "pynvml"}
_TRY = """
import importlib, json, sys
failed = {}
for name in sys.argv[1:]:
    try: importlib.import_module(name)
    except BaseException as error: failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps([list(sys.version_info[:3]), failed]))
"""


def venv(patient: Patient) -> Iterator[Diagnosis]:
    """It is there, its Python is one we know, every locked package is there in its version and can be imported."""
    folder = environment.chosen(patient.checkout)
    python = folder / "bin" / "python"
    if not python.exists():
        how = environment.lacking(patient.checkout, "bin/python").way_out
        yield Diagnosis(ERROR, f"there is no virtual environment at {folder}", f"{python} does not exist", how)
        return
    names = _direct(patient.checkout)
    answer = _ask([str(python), "-c", _TRY, *names], _IMPORT_S)
    if answer == _silent(_IMPORT_S):
        way_out = "type doctor again when the machine has less to do; if it stays so, look at its disk"
        yield Diagnosis(WARNING, f"the packages could not be imported within {_IMPORT_S:g} s", str(python), way_out)
        return
    try:
        version, failed = json.loads(answer.splitlines()[-1])
    except (ValueError, IndexError):
        yield Diagnosis(
            ERROR, f"{python} does not run", answer[-300:] or "it gave no answer", _remake(patient.checkout, folder)
        )
        return
    if tuple(version[:2]) not in environment.SUPPORTED:
        said = f"the environment has Python {version[0]}.{version[1]}"
        yield Diagnosis(ERROR, said, f"{environment.SUPPORTED_WORDS} is needed", _remake(patient.checkout, folder))
    for name, error in failed.items():
        yield Diagnosis(ERROR, f"{name} cannot be imported", error, _remake(patient.checkout, folder))
    other = _other_versions(patient.checkout, folder)
    if other:
        few = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        yield Diagnosis(
            WARNING,
            f"{len(other)} packages are not those of config/locks/core.txt",
            few,
            _remake(patient.checkout, folder),
        )
    if not failed and not other:
        pinned = requirements.applicable(environment.lock_file(patient.checkout, "core"))
        yield ok(f"Python {'.'.join(map(str, version))}, {len(pinned)} locked packages, {len(names)} of them imported")


def _direct(checkout: Path) -> list[str]:
    """What the product itself imports."""
    import tomllib

    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = (re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in project["dependencies"])
    wanted = requirements.applicable(environment.lock_file(checkout, "core"))
    found = (requirements.normalised(name) for name in names)
    return list(dict.fromkeys(_IMPORTED_AS.get(name, name.replace("-", "_")) for name in found if name in wanted))


def _other_versions(checkout: Path, folder: Path) -> list[str]:
    found = requirements.installed(str(one) for one in folder.glob("lib/python*/site-packages"))
    pinned = requirements.applicable(environment.lock_file(checkout, "core"))
    return [
        f"{name} {found.get(name, 'is missing')} for {version}"
        for name, version in pinned.items()
        if found.get(name) != version
    ]


def _remake(checkout: Path, folder: Path) -> str:
    if (folder / environment.MARKER).exists():
        return environment.lacking(checkout, "a package").way_out
    pip = environment.pip_line(checkout, folder, "core")
    return f"{pip}, or {environment._other_folder(folder)}"


def tmux(patient: Patient) -> Iterator[Diagnosis]:
    """It is installed, young enough, and our server answers with all sessions in it."""
    if shutil.which("tmux") is None:
        yield Diagnosis(
            ERROR,
            "tmux is not installed",
            "no tmux on PATH",
            "apt-get install tmux (or dnf, apk, pacman, zypper); --single works without",
        )
        return
    said = _ask(["tmux", "-V"], _ASK_S).strip()
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if numbers is None:
        yield Diagnosis(
            WARNING, f"tmux does not say its version: {said!r}", "a build of its own", "try tmux -V by hand"
        )
    elif (int(numbers[1]), int(numbers[2])) < _OLDEST_TMUX:
        yield Diagnosis(ERROR, f"{said} is too old", "new-session -e came with 3.2", "install tmux 3.2 or newer")
    else:
        yield ok(said)
    yield from _server(patient)


def _server(patient: Patient) -> Iterator[Diagnosis]:
    from agents import registry
    from agents.machine import sessions
    from agents.machine.sessions import NoAnswer, Tmux
    from state.host import identity, root
    from state.records.server import recorded

    roots, limits = patient.roots, patient.limits
    if (why := root.from_outside(root.look(roots.state))) is not None:
        yield Diagnosis(NOTE, why, "pids mean nothing across namespaces", "type doctor where the swarm was started")
        return
    client = Tmux.of(roots, min(limits.agents.tmux_timeout_s, _ASK_S))
    yield from _socket_folder(client.server.socket.parent)
    server = recorded(roots)
    if server is None or server.process is None:
        stopped = roots.tombstone.exists()
        yield ok("stopped on purpose, no server runs" if stopped else f"no server was started for {roots.state} yet")
        return
    name, repair = f"tmux -L {server.label}", "bash scripts/ensure_swarm_watchdogs.sh"
    life = identity.life_of(server.process)
    if roots.tombstone.exists():
        alive = life != "dead"
        said = f"{name} still lives although the swarm is stopped"
        yield (
            Diagnosis(WARNING, said, "stop was cut short", "scripts/backtest-optimize stop")
            if alive
            else ok("stopped on purpose, no server runs")
        )
        return
    if life == "dead":
        yield Diagnosis(ERROR, f"{name} is gone", f"its process {server.process.pid} has ended", repair)
        return
    if life == "stopped":
        yield Diagnosis(ERROR, f"{name} is stopped", f"pid {server.process.pid} is in state T", repair)
        return
    try:
        there = {view.name for view in client.sessions() if view.alive}
    except NoAnswer as error:
        yield Diagnosis(ERROR, f"{name} gives no answer", str(error), repair)
        return
    if (other := sessions.belongs_to_another(client)) is not None:
        yield Diagnosis(ERROR, f"{name} serves another state root", f"its STATE_ROOT is {other}", repair)
    missing = sorted(set(registry.sessions(limits)) - there)
    if missing:
        cause = "they ended, or the socket was replaced; the hang guard brings them back within a minute"
        yield Diagnosis(WARNING, f"sessions are missing: {', '.join(missing)}", cause, repair)
    else:
        yield ok(f"{name} answers, {len(there)} sessions live")


def _socket_folder(folder: Path) -> Iterator[Diagnosis]:
    import os

    try:
        stat = folder.stat()
    except FileNotFoundError:
        return
    if stat.st_uid != os.getuid() or stat.st_mode & 0o077:
        cause = f"mode {stat.st_mode & 0o777:04o}, owner {stat.st_uid}: others could type into the swarm's panes"
        yield Diagnosis(
            ERROR, f"the socket folder {folder} is open to others", cause, f"chmod 700 {shlex.quote(str(folder))}"
        )


def here(patient: Patient) -> Iterator[Diagnosis]:
    """Which Python this is, and whether it is the environment's own."""
    folder = environment.chosen(patient.checkout)
    if Path(sys.prefix).resolve() != folder.resolve():
        said = f"this command runs with {sys.executable}, outside the environment"
        yield Diagnosis(NOTE, said, "the environment cannot be entered", "checks that need its packages say so")


def _ask(command: list[str], timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _silent(timeout_s)
    except OSError as error:
        return str(error)
    return done.stdout


def _silent(timeout_s: float) -> str:
    return f"it gave no answer within {timeout_s:g} s"
