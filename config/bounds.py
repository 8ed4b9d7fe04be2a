"""Limits on the size of one market's files and on the time that reading them takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """The largest size and the longest reading time of one market's files.

    The defaults equal `reading` in the settings.
    """

    rows: int = 20_000_000
    megabytes: int = 2_000  # of 10**6 bytes each, after unpacking
    seconds: int = 900


USUAL = Bounds()
