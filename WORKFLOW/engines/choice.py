"""Choose the engine that computes, and say why.

An engine that the user asked for is used or refused, never replaced.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from config.errors import Refused
from WORKFLOW.engines.gpu.presence import reason_against

if TYPE_CHECKING:
    from WORKFLOW.engines.gpu.device import Device

NO_GPU = -1  # the value of `--gpu` that switches GPUs off


class EngineChoice(NamedTuple):
    """An engine's name and the reason for the choice; `device` is set when the engine runs on a GPU."""

    engine: str
    why: str
    device: "Device | None" = None

    def __str__(self) -> str:
        return f"{self.engine} ({self.why})" if self.why else self.engine


@lru_cache(maxsize=8)
def choose(asked: str, gpu: int | None = None) -> EngineChoice:
    """Return the engine that `--engine` and `--gpu` select on this machine. A GPU is opened only when it is chosen.

    `auto` takes the GPU where one can be used. With `vectorbt`, the native engine does the work, and vectorbt only
    repeats the finalists.

    Raises:
        Refused: a GPU is asked for and cannot be used; the message gives the reason and the way out.
    """
    if asked == "reference":
        return EngineChoice("reference", "")
    if asked not in ("auto", "gpu"):
        return EngineChoice("native", "")
    if gpu == NO_GPU:
        if asked == "gpu":
            raise Refused("--gpu -1 switches GPUs off, and --engine gpu asks for one", "leave one of them out")
        return EngineChoice("native", "--gpu -1")
    against = reason_against()
    if asked == "auto" and against is not None:
        return EngineChoice("native", against.reason)
    if against is not None:
        raise against
    from WORKFLOW.engines.gpu.device import chosen

    try:
        device = chosen(gpu)
    except Refused as refusal:
        if asked == "gpu":
            raise
        return EngineChoice("native", f"no usable GPU: {refusal.reason}")
    return EngineChoice("gpu", f"{device.name}, {device.uuid}", device)
