"""The frozen parameter space of the benchmarks, so that figures of different days and machines are comparable."""

from config.errors import Refused
from config.modes import Choice, Dimension, Mode, Range
from config.settings import Settings

_FROZEN: dict[str, Dimension] = {
    "fast_timeframe": Choice((15, 30, 45, 60)),
    "fast_period": Range(3, 50, 1),
    "slow_timeframe": Choice((60, 120, 240, 360)),
    "slow_period": Range(10, 200, 2),
    "direction": Choice(("both",)),
    "stop_loss": Range(0.005, 0.05, 0.0001),
    "take_profit": Range(0.01, 0.15, 0.0001),
    "trailing_stop": Choice((0.0,)),
    "max_bars": Choice((0,)),
}


def mode(name: str, settings: Settings) -> Mode:
    """Return the mode called `name`: a frozen mode, or a mode of the settings. An unknown name is refused."""
    if name == "benchmark":
        return Mode(name, "mtf_ema", _FROZEN)
    if name == "benchmark-trailing":
        return Mode(name, "mtf_ema", {**_FROZEN, "trailing_stop": Choice((0.01, 0.02, 0.05))})
    if name not in settings.modes:
        raise Refused(f"unknown mode {name!r}", f"one of: benchmark, benchmark-trailing, {', '.join(settings.modes)}")
    return settings.mode(name)
