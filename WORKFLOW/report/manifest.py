"""Make `run_manifest.json`, which holds all that is needed to make a result again and to identify it."""

import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from state.files.layout import CHECKOUT
from WORKFLOW import SOURCE_HASH

_LIBRARIES = ("numpy", "numba", "optuna", "skfolio", "pyarrow")


@dataclass(frozen=True)
class ManifestFacts:
    """The facts of a run for its manifest.

    Only `promotion`, which depends on all earlier runs, and `execution` may differ between two runs of the same work.
    """

    labels: dict[str, Any]
    verdict: str
    data: dict[str, Any]
    windows: dict[str, Any]
    config: dict[str, Any]
    seed: int
    engine: str
    gpu: str | None  # the name of the GPU that screened, if one did
    tries: dict[str, int]
    promotion: dict[str, Any]
    execution: dict[str, Any]
    phase0_seeds: list[dict[str, Any]]  # other prescreens whose best combos were tried first; often empty


def record(facts: ManifestFacts) -> dict[str, Any]:
    """Return the manifest, without the hashes of the files beside it."""
    return {
        **facts.labels,
        "verdict": facts.verdict,
        "data": facts.data,
        "windows": facts.windows,
        "code": {
            "revision": _revision(),
            "source_hash": SOURCE_HASH,
            **software(),
        },
        "config": facts.config,
        "seed": facts.seed,
        "engine": facts.engine,
        "device": {
            "kind": "gpu" if facts.gpu else "cpu",
            "model": facts.gpu or cpu_model(),
            "machine": platform.machine(),
        },
        "tries": facts.tries,
        "promotion": facts.promotion,
        "execution": facts.execution,
        **({"phase0_seeds": facts.phase0_seeds} if facts.phase0_seeds else {}),
    }


def software() -> dict[str, Any]:
    """Return the versions of Python and of the libraries that results come from."""
    return {"python": platform.python_version(), "libraries": {name: version(name) for name in _LIBRARIES}}


def _revision() -> str | None:
    """Return the commit of the checkout, marked as dirty if the sources differ from it; None without git."""
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def cpu_model() -> str:
    """Return the machine's name for its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
