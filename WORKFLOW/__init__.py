"""The work plane: computes.

Importing it points Numba's cache at a folder that carries a hash of these sources: the cache itself does not notice
changes in functions that other files define (measured: a cached caller went on returning the old result).
"""

import os
import tempfile
from hashlib import sha256
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _source_hash() -> str:
    digest = sha256()
    for path in sorted(_HERE.rglob("*.py")):
        digest.update(str(path.relative_to(_HERE)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _kernel_cache() -> Path:
    named = os.environ.get("NUMBA_CACHE_DIR")
    for name in (named or str(_HERE.parent / "state" / ".cache" / "numba"), "~/.cache/backtest-optimize"):
        folder = Path(os.path.expanduser(name))  # Path.expanduser raises for a user without a home
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="backtest-optimize-numba-"))


SOURCE_HASH = _source_hash()

if not os.environ.get("NUMBA_CACHE_DIR", "").endswith(SOURCE_HASH):
    os.environ["NUMBA_CACHE_DIR"] = str(_kernel_cache() / SOURCE_HASH)
