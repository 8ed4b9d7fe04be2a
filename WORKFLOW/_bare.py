"""Let scripts in this folder import its public modules by their bare names, as scripts that users have deployed do.

`from mtf_resampler import resample_ohlc` then gives the very function of `WORKFLOW.mtf_resampler`. The bare name is
another name of the same module, so one process never holds two copies of a class.
"""

import importlib
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent


def stand_in(name: str) -> None:
    """Put `WORKFLOW.<name>` in place of the bare module `name`, which is being imported.

    Raises:
        ImportError: this Python lacks a package that we need; the message names the Python that has it.
    """
    if str(_CHECKOUT) not in sys.path:
        sys.path.insert(0, str(_CHECKOUT))
    try:
        sys.modules[name] = importlib.import_module(f"WORKFLOW.{name}")
    except ModuleNotFoundError as missing:
        if not (_CHECKOUT / "WORKFLOW" / "__init__.py").is_file() or not (_CHECKOUT / "config").is_dir():
            reason = f"{name}.py was copied without its checkout: copy the whole checkout, WORKFLOW alone is not enough"
        else:
            reason = (
                f"{sys.executable} has no {missing.name}; "
                f"run the script with {_CHECKOUT / 'state' / '.venv' / 'bin' / 'python'}, which scripts/check makes"
            )
        raise ImportError(reason) from missing
