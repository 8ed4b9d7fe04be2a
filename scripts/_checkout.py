"""Make a file that people run by path part of its checkout: first on `sys.path`, and inside the virtual environment.

A copy of this text stands beside every such file (a test keeps them equal). The file's own folder leaves `sys.path`, so
`import mtf_resampler` fails where `from WORKFLOW import mtf_resampler` was meant, and two copies of a module never live
in one process. The folder is resolved through symlinks, so a link to a command from `~/bin` works too.
"""

import importlib.util
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_START_UP = Path("scripts") / "infra" / "environment.py"
_CHECKOUT = next((folder for folder in _HERE.parents if (folder / _START_UP).is_file()), None)
if _CHECKOUT is None:
    raise ModuleNotFoundError(f"no folder above {_HERE} is a checkout")

sys.path[:] = [str(_CHECKOUT), *(e for e in sys.path if Path(e or ".").resolve() not in (_HERE, _CHECKOUT))]

# By path and not by name: WORKFLOW and hooks stand below scripts and may not import it.
_spec = importlib.util.spec_from_file_location("_environment", str(_CHECKOUT / _START_UP))
if _spec is None or _spec.loader is None:
    raise ImportError(f"cannot load {_CHECKOUT / _START_UP}")
_environment = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_environment)
_environment.enter(_CHECKOUT)
