"""How much the files of one market may hold and take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """The most that the files of one market may hold and take; the defaults are those of `reading` in the settings."""

    rows: int = 20_000_000
    megabytes: int = 2_000  # of 10**6 bytes, unpacked
    seconds: int = 900


USUAL = Bounds()
