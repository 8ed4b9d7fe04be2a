"""Build the command that installs one of our lock files into the Python that is running; it works in any folder."""

import shlex
import sys
from pathlib import Path

_LOCKS = Path(__file__).with_name("locks")


def install_line(lock: str) -> str:
    """Return the command to type when packages of `config/locks/<lock>.txt` are missing."""
    words = (sys.executable, "-m", "pip", "install", "--require-hashes", "-r", str(_LOCKS / f"{lock}.txt"))
    return shlex.join(words)
