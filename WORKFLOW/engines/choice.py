"""Which engine computes, and why: an engine that was asked for is used or refused, never replaced in silence."""

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from config.errors import Refused
from WORKFLOW.engines.gpu.presence import reason_against

if TYPE_CHECKING:
    from WORKFLOW.engines.gpu.device import Device

NO_GPU = -1  # as --gpu says it


class EngineChoice(NamedTuple):
    """An engine's name, and why it was taken; `device` where that is a GPU."""

    engine: str
    why: str
    device: "Device | None" = None

    def __str__(self) -> str:
        return f"{self.engine} ({self.why})" if self.why else self.engine


@lru_cache(maxsize=8)
def choose(asked: str, gpu: int | None = None) -> EngineChoice:
    """What `--engine` and `--gpu` come to on this machine. A GPU is opened only when it is taken.

    `auto` takes the GPU where one can be used. `vectorbt` only repeats finalists; native does the work.

    Raises:
        Refused: `gpu` is asked for and cannot be had, with the reason and the way out.
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
