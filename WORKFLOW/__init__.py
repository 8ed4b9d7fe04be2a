"""The work plane, which computes results.

Importing this package points Numba's cache at a folder named after a hash of these sources. The cache itself does not
notice changes in functions that other files define: in a test, a cached caller went on returning the old result.
"""

import os
import tempfile
from pathlib import Path

from state.host import code

_HERE = Path(__file__).resolve().parent


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


SOURCE_HASH = code.hash_of(_HERE, code.sources(_HERE))

if not os.environ.get("NUMBA_CACHE_DIR", "").endswith(SOURCE_HASH):
    os.environ["NUMBA_CACHE_DIR"] = str(_kernel_cache() / SOURCE_HASH)
