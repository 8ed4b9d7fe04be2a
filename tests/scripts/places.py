"""A small checkout with one package of our own, in which a command is started by a real process.

No network: pip is told to look into one folder only, where each test's wheel lies.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from scripts.infra import environment, install

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PARTS = (
    *(f"{package}/__init__.py" for package in ("config", "state", "scripts", "scripts/infra")),
    *(
        "config/errors.py",
        "config/plain.py",
        "state/files/codec.py",
        "state/files/private.py",
        "state/host/process.py",
        "state/files/snapshot.py",
    ),
    "scripts/_checkout.py",
    *(f"scripts/infra/{module}.py" for module in ("environment", "install", "requirements")),
)
# The interpreter behind the one that runs the tests: what a user types as python3.
PYTHON = getattr(sys, "_base_executable", sys.executable)

HELLO = '''\
"""A command."""

if __name__ == "__main__" and not __package__:
    import _checkout  # puts the checkout first on sys.path, in its virtual environment

import json
import os
import sys

import tiny

here = os.path.dirname(os.path.realpath(__file__))
print(json.dumps({"prefix": sys.prefix, "path": sys.path[0], "bare": here in sys.path, "arguments": sys.argv[1:],
                  "tiny": tiny.VERSION, "leaks": [v for v in os.environ if v.startswith("BACKTEST_OPTIMIZE")],
                  "dev_mode": sys.flags.dev_mode}))
'''


class Place:
    """A small checkout, the folder of wheels that pip may look into, and the virtual environment it is to use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkout = root / "check out"  # a space, as in many a home
        self.wheels = root / "wheels"
        self.venv = root / "venv"
        self.foreign_folder = root / "elsewhere"
        self.hello = self.checkout / "scripts" / "hello"

    def lay(self) -> "Place":
        """Make all of it but the environment; returns itself."""
        self.wheels.mkdir()
        self.foreign_folder.mkdir()
        for part in PARTS:
            target = self.checkout / part
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / part, target)
        self.hello.write_text(HELLO, encoding="utf-8")
        self.provide("1.0")
        return self

    def provide(self, version: str) -> None:
        """Build a wheel of the package `tiny` and lock it."""
        wheel = self.wheels / f"tiny-{version}-py3-none-any.whl"
        about = f"tiny-{version}.dist-info"
        files = {
            "tiny.py": f"VERSION = {version!r}\n",
            install.STARTUP_HOOKS[0]: "import sys; sys.stderr.write('hooked')\n",
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{name},sha256={self.record_hash(text)},{len(text)}\n" for name, text in files.items())
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
                archive.writestr(zipfile.ZipInfo(name), text)  # dated 1980: the same bytes in every place
        self.lock("core", f"tiny=={version}", hashlib.sha256(wheel.read_bytes()).hexdigest())

    @staticmethod
    def record_hash(text: str) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()

    def lock(self, name: str, requirement: str, digest: str) -> None:
        path = self.checkout / "config" / "locks" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{requirement} \\\n    --hash=sha256:{digest}\n", encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "BACKTEST_OPTIMIZE"))}
        ours = {"VENV_PATH": str(self.venv), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        temporary = self.root.with_name(f"{self.root.name}-tmp")  # where a pip that is killed leaves what it had
        temporary.mkdir(exist_ok=True)
        # No configuration file of this machine's, and no GPU: only what the test gives.
        own = {"PIP_CONFIG_FILE": os.devnull, "CUDA_VISIBLE_DEVICES": "-1", "TMPDIR": str(temporary)}
        return clean | ours | own | more

    def start(self, *arguments: str, python: str = PYTHON, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *(arguments or (str(self.hello),))],
            cwd=self.foreign_folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def stamp(self) -> Path:
        return self.venv / environment.STAMP


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def bare(folder: Path) -> Path:
    """Somebody else's environment, with nothing in it."""
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    return next((folder / "lib").glob("python*/site-packages"))


PRETEND = """
import runpy, sys
{deed}
sys.argv = [{script!r}]
sys.path.insert(0, {folder!r})
runpy.run_path({script!r}, run_name="__main__")
"""


def pretend(place: Place, deed: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Start the command after `deed` has been done to the interpreter."""
    code = PRETEND.format(deed=deed, script=str(place.hello), folder=str(place.hello.parent))
    return place.start("-c", code, **more)
