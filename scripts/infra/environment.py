"""Find the virtual environment of this checkout, make it if it is missing, and continue inside it.

Every command that people run by path comes here first (`_checkout.py`), with any Python. So this file uses the standard
library only and parses on Python 3.8: an old Python gets a message and not a syntax error. When all is well, it reads
a stamp and the lock files and calls `execv`, which takes milliseconds.

Two files inside the environment tell its owner and its state. The marker is written first and means "made here, may be
repaired here". The stamp is written last and holds the hashes of the installed lock files; without it, or with other
hashes, there is work to do. An environment without the marker belongs to somebody else: nothing is ever installed
into it.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from config.errors import Refused
from state.host import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

# numba 0.68 has wheels for these versions only. They stand here because they change together with the locks.
SUPPORTED = ((3, 11), (3, 12), (3, 13), (3, 14))
SUPPORTED_WORDS = "Python 3.11 to 3.14"

VARIABLE = "VENV_PATH"
MARKER = "made-by-backtest-optimize"
STAMP = "backtest-optimize.json"
LOG = "backtest-optimize-install.log"
# The variable holds the pid that called execv: the same pid outside the environment means that entering it failed.
GUARD = "BACKTEST_OPTIMIZE_ENTERED_BY"

# Looking for these files costs microseconds; asking libcuda would start the driver at every command.
NVIDIA_DRIVER = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")


# The commands of backtest-optimize that only ask or end something. They also work with a missing or broken environment,
# and never make or change one; commands that start work do.
ONLY_ANSWER = frozenset(
    (
        "doctor",
        "health",
        "status",
        "ensure",
        "stop",
        "cancel",
        "attach",
        "explain",
        "results",
        "handoff",
        "checksums",
    )
)


def enter(checkout: Path) -> None:
    """Return if this runs inside the virtual environment, else execute itself there; exit 1 with a reason on failure.

    After this, Ctrl-C ends the process and its text is UTF-8: see `state/host/process.py`.
    """
    process.begin()
    only_answers = Path(sys.argv[0]).name == "backtest-optimize" and not ONLY_ANSWER.isdisjoint(sys.argv[1:2])
    _or_exit(_enter_if_ready if only_answers else _enter, checkout)


def require(checkout: Path, extra: str) -> None:
    """Install `config/locks/<extra>.txt` into this process's environment if needed; exit like `enter`."""
    _or_exit(_require, checkout, extra)


def beside(checkout: Path, name: str) -> Path:
    """Return the Python of a separate environment, `state/.venv-<name>`, that holds only `config/locks/<name>.txt`.

    It is for packages that must not be installed beside the product's own. It is made and updated like the product's.

    Raises:
        Refused: the environment cannot be made (no network, no room, …).
    """
    venv = checkout / "state" / f".venv-{name}"
    _ensure(checkout, venv, {name: _digest(checkout, name)})
    return _python(venv)


def chosen(checkout: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the virtual environment: `VENV_PATH` (it, or its `bin/activate`), else `state/.venv`."""
    named = (os.environ if environment is None else environment).get(VARIABLE, "")
    if not named:
        return checkout / "state" / ".venv"
    path = Path(named).expanduser().absolute()
    return path.parent.parent if path.name == "activate" and path.parent.name == "bin" else path


def wanted_locks(checkout: Path, extras: Iterable[str] = ()) -> dict[str, str]:
    """Return lock name → hash of the lock file, for all locks that this machine needs."""
    names = ["core", *(["cuda"] if has_nvidia_driver() else []), *extras]
    return {name: _digest(checkout, name) for name in names}


def _digest(checkout: Path, name: str) -> str:
    from hashlib import sha256

    return sha256(lock_file(checkout, name).read_bytes()).hexdigest()


def lock_file(checkout: Path, name: str) -> Path:
    """Return the path of the lock `name`, a requirements file with versions and hashes."""
    return checkout / "config" / "locks" / f"{name}.txt"


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is loaded and its GPUs are not hidden from this process."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and sys.platform == "linux" and any(Path(path).exists() for path in NVIDIA_DRIVER)


# --- entering -------------------------------------------------------------------------------------------------------


def _or_exit(deed: Callable[..., None], *arguments: object) -> None:
    try:
        deed(*arguments)
    except Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"error: cannot prepare the virtual environment:{where}: {error.strerror}", file=sys.stderr)
        print(f"  → free the disk or fix its permissions, or name another folder in {VARIABLE}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; the next start goes on from here", file=sys.stderr)
        raise SystemExit(130) from None
    else:
        return
    raise SystemExit(1)


def _enter(checkout: Path) -> None:
    venv = chosen(checkout)
    came_by_exec = os.environ.pop(GUARD, "") == str(os.getpid())
    if _is_inside(venv):
        if not _is_ours(venv):
            _check_foreign(checkout, venv, "core")
        return
    if came_by_exec:
        raise Refused(f"{_python(venv)} runs outside {venv}", f"it is damaged: name another folder in {VARIABLE}")
    _ensure(checkout, venv, wanted_locks(checkout))
    python = str(_python(venv))
    os.environ[GUARD] = str(os.getpid())
    os.execv(python, [python, *getattr(sys, "orig_argv", ["", *sys.argv])[1:]])


def _enter_if_ready(checkout: Path) -> None:
    """Continue inside the environment if that works, else in the present Python if the product supports it."""
    venv = chosen(checkout)
    came_by_exec = os.environ.pop(GUARD, "") == str(os.getpid())
    if not (_is_inside(venv) or came_by_exec) and (_has(venv, wanted_locks(checkout)) or _runs(_python(venv))):
        os.environ[GUARD] = str(os.getpid())
        os.execv(str(_python(venv)), [str(_python(venv)), *getattr(sys, "orig_argv", ["", *sys.argv])[1:]])
    _find_supported_python()


def _runs(python: Path) -> bool:
    import subprocess

    try:
        return subprocess.run([str(python), "-c", ""], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _require(checkout: Path, extra: str) -> None:
    venv = chosen(checkout)
    if _is_ours(venv):
        _ensure(checkout, venv, wanted_locks(checkout, (extra,)))
    else:
        _check_foreign(checkout, venv, extra)


def _is_inside(venv: Path) -> bool:
    return Path(sys.prefix).resolve() == venv.resolve()


def _is_ours(venv: Path) -> bool:
    return (venv / MARKER).exists()


def _python(venv: Path) -> Path:
    return venv / "bin" / "python"


# --- making and updating --------------------------------------------------------------------------------------------


def _ensure(checkout: Path, venv: Path, wanted: Mapping[str, str]) -> None:
    if _has(venv, wanted) or _is_foreign(venv):
        return
    _find_supported_python()
    with _locked(venv) as lock:
        stamp = _stamp(venv)
        if _has(venv, wanted):  # the process that held the lock has done the work
            return
        if stamp is None or not _python(venv).exists() or stamp.get("base") != _base(venv):
            _make(checkout, venv, wanted, lock)
        else:
            _update(checkout, venv, wanted, stamp, lock)


def _is_foreign(venv: Path) -> bool:
    if _is_ours(venv) or not venv.exists() or (venv.is_dir() and not any(venv.iterdir())):
        return False
    if not _python(venv).exists():
        raise Refused(f"{venv} is not a virtual environment (it has no bin/python)", _other_folder(venv))
    return True


def _has(venv: Path, wanted: Mapping[str, str]) -> bool:
    stamp = _stamp(venv)
    return (
        stamp is not None
        and all(stamp["locks"].get(name) == digest for name, digest in wanted.items())
        and _python(venv).exists()
        and stamp.get("base") == _base(venv)
    )


def _stamp(venv: Path) -> dict[str, Any] | None:
    import json

    try:
        stamp = json.loads((venv / STAMP).read_bytes())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and isinstance(stamp.get("locks"), dict) else None


def _base(venv: Path) -> str:
    """Return the system's Python behind the environment: once it has another version, no package is found."""
    return str(_python(venv).resolve())


@contextmanager
def _locked(venv: Path) -> Iterator[int]:
    """Hold the lock beside the environment; print a line before waiting for another start."""
    try:
        import fcntl
    except ImportError:
        raise Refused(f"{sys.platform} is not supported", "use Linux, macOS, or Linux inside Windows (WSL)") from None
    venv.parent.mkdir(parents=True, exist_ok=True)
    with venv.with_name(f"{venv.name}.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another start is preparing {venv}; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _make(checkout: Path, venv: Path, wanted: Mapping[str, str], lock: int) -> None:
    from scripts.infra import install

    if not _is_ours(venv):
        reason = "first start"
    elif not _python(venv).exists() and (venv / STAMP).exists():
        reason = f"the Python that {venv} was made with is gone"
    elif _stamp(venv) is None:
        reason = "an earlier start was cut short"
    else:
        reason = f"the Python behind {venv} has changed"
    print(f"{reason}: making the virtual environment {venv} (once)", file=sys.stderr, flush=True)
    venv.mkdir(exist_ok=True)
    (venv / MARKER).touch()
    # The marker stays in place: without it, another start would take the remains for somebody else's environment.
    install.remove_all_but(venv / MARKER)
    install.make_venv(getattr(sys, "_base_executable", "") or sys.executable, venv, lock)
    _install(checkout, venv, wanted, {}, lock)


def _update(checkout: Path, venv: Path, wanted: Mapping[str, str], stamp: dict[str, Any], lock: int) -> None:
    from scripts.infra import install

    have: dict[str, str] = dict(stamp["locks"])
    missing = {name: digest for name, digest in wanted.items() if have.get(name) != digest}
    print(f"bringing {venv} up to date: {', '.join(missing)}", file=sys.stderr, flush=True)
    (venv / STAMP).unlink()
    try:
        _install(checkout, venv, missing, have, lock)
    except (install.Untouched, install.UntouchedAndInterrupted):
        _write_stamp(venv, have)
        raise


def _install(checkout: Path, venv: Path, missing: Mapping[str, str], have: Mapping[str, str], lock: int) -> None:
    from scripts.infra import install

    # Every other lock contains the whole core lock.
    names = [name for name in missing if name != "core"] or ["core"]
    install.install(_python(venv), [lock_file(checkout, name) for name in names], venv / LOG, lock)
    _write_stamp(venv, {**have, **missing})


def _write_stamp(venv: Path, locks: Mapping[str, str]) -> None:
    from state.files import private, snapshot

    with private.shared():  # the environment may serve other users, too
        snapshot.write_json(venv / STAMP, {"locks": dict(locks), "base": _base(venv)})


# --- which Python ---------------------------------------------------------------------------------------------------


def _find_supported_python() -> None:
    """Return if this Python is supported, else execute a supported one from PATH, or refuse."""
    import shutil
    import subprocess

    if tuple(sys.version_info[:2]) in SUPPORTED:
        return
    for major, minor in reversed(SUPPORTED):
        found = shutil.which(f"python{major}.{minor}")
        # A name on PATH may be a shim without an interpreter behind it.
        if (
            found
            and subprocess.run([found, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
            == 0
        ):
            os.execv(found, [found, *sys.argv])
    here = ".".join(map(str, sys.version_info[:3]))
    raise Refused(
        f"this is Python {here}, and PATH has no supported version; {SUPPORTED_WORDS} is needed",
        f"install one (Debian, Ubuntu: apt install python3.12 python3.12-venv; macOS: brew install python@3.12), "
        f"or name a virtual environment that has one in {VARIABLE}",
    )


# --- somebody else's environment ------------------------------------------------------------------------------------


def _check_foreign(checkout: Path, venv: Path, lock: str) -> None:
    """Refuse when the foreign environment that runs this lacks packages; warn when versions differ."""
    if tuple(sys.version_info[:2]) not in SUPPORTED:
        here = ".".join(map(str, sys.version_info[:2]))
        raise Refused(f"{venv} has Python {here}; {SUPPORTED_WORDS} is needed", _other_folder(venv))
    from scripts.infra import requirements

    found = requirements.installed(sys.path)
    pinned = requirements.applicable(lock_file(checkout, lock))
    missing = [name for name in pinned if name not in found]
    if missing:
        raise Refused(
            f"{venv} was not made here, so nothing is installed into it, and it lacks: {', '.join(missing)}",
            f"{pip_line(checkout, venv, lock)}\n    or {_other_folder(venv)}",
        )
    other = [f"{name} {found[name]} for {version}" for name, version in pinned.items() if found[name] != version]
    if other:
        print(f"warning: {venv} differs from config/locks/{lock}.txt: {', '.join(other)}", file=sys.stderr)


def missing(checkout: Path) -> Refused | None:
    """Return what to say when this process is not inside the environment; None inside. Nothing is made or changed."""
    return None if _is_inside(chosen(checkout)) else lacking(checkout, "what makes it a virtual environment")


def lacking(checkout: Path, module: str) -> Refused:
    """Return the refusal for an interpreter without `module`: its environment is missing, damaged or incomplete."""
    venv = chosen(checkout)
    make = f"{shlex.quote(str(checkout / 'scripts' / 'check'))} --help"  # the quickest command that calls `enter`
    if not venv.exists():
        return Refused(f"there is no virtual environment at {venv}", f"make it with: {make}")
    if _is_ours(venv):
        anew = f"rm -r {shlex.quote(str(venv))} && {make}"
        return Refused(f"the virtual environment {venv} lacks {module}", f"make it anew with: {anew}")
    if not _python(venv).exists():
        return Refused(f"{venv} is not a virtual environment (it has no bin/python)", _other_folder(venv))
    return Refused(f"{venv} lacks {module}", f"{pip_line(checkout, venv, 'core')}\n    or {_other_folder(venv)}")


def pip_line(checkout: Path, venv: Path, lock: str) -> str:
    """Return the command that installs a lock into an environment, to be typed in any folder."""
    pip, file = venv / "bin" / "pip", lock_file(checkout, lock)
    return shlex.join([str(pip), "install", "--require-hashes", "-r", str(file)])


def _other_folder(venv: Path) -> str:
    if os.environ.get(VARIABLE):
        return f"name another folder in {VARIABLE} (one that does not exist is made), or unset it"
    return f"delete {venv} (the next start makes it), or name a virtual environment in {VARIABLE}"
