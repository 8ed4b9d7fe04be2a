"""Whether the disk has room for more work. Many small files use up the inodes before the bytes, so both count."""

from agents.model.world import World
from config.swarm import SwarmSettings


def shortage(world: World, limits: SwarmSettings) -> str:
    """Return what the disk has too little of, and how much is needed; "" when it has enough, or nothing is known."""
    free, files = world.disk_free_bytes, world.disk_free_files
    if free is not None and free < limits.records.min_free_mb * 1_000_000:
        return f"{free / 1e6:.0f} MB are free, at least {limits.records.min_free_mb:,} are wanted"
    if files is not None and files < limits.records.min_free_files:
        return f"{files:,} more files can be made (inodes), at least {limits.records.min_free_files:,} are wanted"
    return ""
