"""Make a virtual environment and install locked packages into it with pip, showing how far it is.

The user's own pip configuration decides where packages come from; the hashes in the lock decide what they are.
"""

from __future__ import annotations

import importlib.util
import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from config.errors import Refused
from scripts.infra import requirements
from state.host import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

PIP_FLAGS = (
    "--require-hashes",
    "--only-binary=:all:",  # a build from source would run code that no hash covers, and take minutes
    "--no-compile",  # all at once afterwards, on all cores: 19.6 s for core where pip takes 22.7 s (2 cores)
    "--no-input",
    "--no-color",
    "--disable-pip-version-check",
    "--no-warn-script-location",
    "--progress-bar=off",
)

# What pip's output says → what it means and what to do; the first that is found counts. A missing network comes before
# "no matching distribution", which pip adds to it.
DIAGNOSES = (
    (
        r"No space left on device|Errno 28|Disk quota exceeded",
        "the disk is full",
        "free some space (about 1 GB; pip's cache: pip cache purge)",
    ),
    (
        r"DO NOT MATCH THE HASHES",
        "a package is not the one that was locked",
        "clear pip's cache (pip cache purge); if it stays, do not trust the place that packages come from",
    ),
    (
        r"NewConnectionError|Max retries|name resolution|Network is unreachable|ProxyError|timed out|Connection aborted"
        r"|ConnectTimeout|SSLError|Connection reset|Connection refused",
        "packages could not be downloaded",
        "connect this machine, or tell pip of a mirror, a proxy or a folder of wheels (pip config), "
        "or name a prepared virtual environment in VENV_PATH",
    ),
    (
        r"No matching distribution|Could not find a version",
        "no package fits this Python and this machine in the place that pip asks",
        "check pip's configuration (pip config list) and use Python 3.11 to 3.14 on 64-bit Linux or macOS",
    ),
    (
        r"Permission denied|Read-only file system",
        "files could not be written",
        "fix the permissions of the folder, or name another one in VENV_PATH",
    ),
)

# Startup hooks of packages, which every Python of the environment would run first: 30 ms of CPU, and agents are
# Pythons that start all day. WORKFLOW/engines/gpu/toolkit.py calls the one it needs, where a GPU is asked for.
STARTUP_HOOKS = ("_numba_cuda_redirector.pth", "_cuda_bindings_redirector.pth")

ROOM_FOR_PIP_BYTES = 30_000_000
TICK_S = 0.2
SILENCE_S = 15.0  # without a terminal, a line at least this often
PACKAGES_PER_LINE = 5


class Untouched(Refused):
    """Nothing was changed: pip failed before it began to install."""


class UntouchedAndInterrupted(KeyboardInterrupt):
    """The same, because somebody pressed Ctrl-C."""


def remove_all_but(kept: Path) -> None:
    """Empty the folder of `kept`, save for `kept` itself."""
    for path in kept.parent.iterdir():
        if path == kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def make_venv(base: str, venv: Path, lock: int) -> None:
    """Run `python -m venv`.

    `lock` is a descriptor that the child holds open too, so that the lock lasts while a killed parent's child goes on.

    Raises:
        Refused: this Python cannot make one.
    """
    version = "{}.{}".format(*sys.version_info[:2])
    way_out = (
        f"install that part (Debian, Ubuntu: apt install python{version}-venv), put another Python on PATH, "
        "or name a virtual environment in VENV_PATH"
    )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise Refused(f"this Python ({base}) comes without venv or ensurepip", way_out)
    done = subprocess.run(
        [base, "-I", "-m", "venv", str(venv)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=process.in_english(os.environ),
        pass_fds=(lock,),
        check=False,
    )
    if done.returncode:
        said = _last_lines(f"{done.stdout}\n{done.stderr}")
        # venv swallows what ensurepip says; a disk without room for pip speaks for itself.
        said_or_full = "No space left on device" if shutil.disk_usage(venv).free < ROOM_FOR_PIP_BYTES else said
        reason, cure = _diagnosis(said_or_full) or ("python -m venv failed", way_out)
        raise Refused(f"cannot make {venv}: {reason}\n{said}", cure)


def install(python: Path, lock_files: list[Path], log: Path, lock: int) -> None:
    """Install what `lock_files` pin, byte for byte.

    Raises:
        Untouched: pip failed before it changed anything. Refused: it failed later.
    """
    total = len({name for file in lock_files for name in requirements.applicable(file)})
    progress = Progress(total, _site_packages(python), sys.stderr)
    files = [word for file in lock_files for word in ("-r", str(file))]
    # -I: a PYTHONPATH of the user's must not count as installed here.
    command = [str(python), "-I", "-m", "pip", "install", *PIP_FLAGS, *files]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_pip_environment(), pass_fds=(lock,)
    ) as pip:
        try:
            for line in _lines(pip, log):
                progress.see(line)
        except KeyboardInterrupt:
            pip.terminate()
            pip.wait()
            progress.close("")
            raise (KeyboardInterrupt if progress.is_installing else UntouchedAndInterrupted) from None
    if pip.returncode:
        progress.close("")
        raise failure(log, pip.returncode, Refused if progress.is_installing else Untouched)
    for hook in STARTUP_HOOKS:
        (_site_packages(python) / hook).unlink(missing_ok=True)
    _compile(python, progress, lock)
    progress.close(f"installed {total} packages in {progress.seconds:.0f} s")


def _compile(python: Path, progress: Progress, lock: int) -> None:
    """Write bytecode: without it every command compiles what it imports, for ever under PYTHONDONTWRITEBYTECODE."""
    command = [str(python), "-I", "-m", "compileall", "-q", "-j", "0", str(_site_packages(python))]
    # Its exit code says that some package ships a file that is no Python 3: nothing to do about.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(lock,)) as compiling:
        while True:
            progress.wait("preparing")
            try:
                compiling.wait(TICK_S)
            except subprocess.TimeoutExpired:
                continue
            return


class Progress:
    """How far pip is, from its own lines: a bar on a terminal, else a plain line every few packages."""

    def __init__(self, total: int, site_packages: Path, out: TextIO) -> None:
        self.total = total
        self.is_installing = False
        self._site_packages = site_packages
        self._out = out
        self._is_terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._began = time.monotonic()
        self._spoke = self._began
        self._collected: list[str] = []
        self._to_install: list[str] = []
        self._last_plain = 0
        self._waits_for = ""

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def see(self, line: str) -> None:
        """Take in one line of pip's; an empty one means that some time has passed."""
        if found := re.match(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line):
            name = requirements.normalised(found[1])
            if name not in self._collected:
                self._collected.append(name)
        elif found := re.match(r"Installing collected packages: (.+)", line):
            self.is_installing = True
            self._last_plain = 0
            self._to_install = [requirements.normalised(name.strip()) for name in found[1].split(",")]
        self._show()

    def wait(self, words: str) -> None:
        """Show that something without a count goes on: once, or on a terminal with its seconds."""
        if self._is_terminal:
            self._out.write(f"\r  {words}  {self.seconds:.0f} s\x1b[K")
        elif words != self._waits_for:
            self._out.write(f"  {words}\n")
        self._waits_for = words
        self._out.flush()

    def close(self, words: str) -> None:
        """Take the bar away and leave `words` on a line of their own."""
        if self._is_terminal:
            self._out.write("\r\x1b[K")
        if words:
            self._out.write(f"  {words}\n")
        self._out.flush()

    def _state(self) -> tuple[str, int, int, str]:
        if not self.is_installing:
            return "collecting", len(self._collected), self.total, self._collected[-1] if self._collected else "pip"
        there = requirements.installed([self._site_packages])
        left = [name for name in self._to_install if name not in there]
        of = len(self._to_install)
        return "installing", of - len(left), of, left[0] if left else self._to_install[-1]

    def _show(self) -> None:
        phase, done, of, name = self._state()
        if self._is_terminal:
            # Both halves take about as long.
            filled = round(10 * (done / max(of, 1) + (phase == "installing")))
            text = f"  [{'█' * filled}{'░' * (20 - filled)}] {phase} {done} of {of}  {name}  {self.seconds:.0f} s"
            self._out.write(f"\r{text[: shutil.get_terminal_size().columns - 1]}\x1b[K")
            self._out.flush()
            return
        now = time.monotonic()
        if done - self._last_plain >= PACKAGES_PER_LINE or now - self._spoke >= SILENCE_S:
            self._last_plain, self._spoke = done, now
            self._out.write(f"  {phase} {done} of {of} packages ({name}), {self.seconds:.0f} s\n")
            self._out.flush()


def _lines(pip: subprocess.Popen[bytes], log: Path) -> Iterator[str]:
    """Every line as it comes, and an empty one whenever nothing came for a while; all of it goes to `log` as well."""
    if pip.stdout is None:
        raise TypeError("pip's output is not a pipe")
    rest = b""
    with selectors.DefaultSelector() as selector, log.open("wb") as file:
        selector.register(pip.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(TICK_S):
                yield ""
                continue
            data = os.read(pip.stdout.fileno(), 65_536)
            if not data:
                break
            file.write(data)
            file.flush()
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace").strip()


def _pip_environment() -> dict[str, str]:
    """The user's environment, without what would send packages anywhere but into the virtual environment."""
    elsewhere = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "__PYVENV_LAUNCHER__")
    kept = {k: v for k, v in os.environ.items() if k not in elsewhere}
    return process.in_english(kept) | {"PIP_USER": "0"}  # DIAGNOSES knows the system's reasons in English


def _site_packages(python: Path) -> Path:
    return next(iter((python.parent.parent / "lib").glob("python*/site-packages")), python.parent)


def failure(log: Path, code: int, kind: type[Refused]) -> Refused:
    """What pip's log says, as a reason and a way out."""
    text = log.read_text(encoding="utf-8", errors="replace")
    reason, way_out = _diagnosis(text) or (f"pip ended with {code}", "read the log; then start again")
    return kind(f"the packages could not be installed: {reason}\n{_last_lines(text)}\n  log: {log}", way_out)


def _diagnosis(text: str) -> tuple[str, str] | None:
    return next(((reason, cure) for pattern, reason, cure in DIAGNOSES if re.search(pattern, text)), None)


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("ERROR", "Error", "error"))] or lines
    return "\n".join(f"  | {line}" for line in telling[-4:])
