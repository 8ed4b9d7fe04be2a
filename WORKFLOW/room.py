"""Memory: whether `ulimit -v` leaves enough of it, and the message when it runs out."""

import errno
import resource
from pathlib import Path

from config.errors import Refused
from state.host.cgroup import Container

# Measured on two cores: with 1,500 MB a run ends well; with less, libraries fail to load or their threads never start.
_LEAST_MB = 1_500
_NOT_LOADED = ("failed to map segment", "cannot allocate memory", "can't start new thread")


def check() -> None:
    """Check that this process may use the address space that numeric libraries need.

    Raises:
        Refused: the limit is too low.
    """
    allowed = _allowed_mb()
    if allowed is not None and allowed < _LEAST_MB:
        raise Refused(f"ulimit -v allows {allowed:,} MB of memory, and a run takes at least {_LEAST_MB:,}", _WAY_OUT)


def free_bytes() -> int | None:
    """Return how many bytes this process may still take, by `ulimit -v`, container and machine; None if unknown."""
    container = Container()
    limit, used = container.memory_limit_bytes, container.memory_used_bytes
    of_container = None if limit is None or used is None else limit - used
    known = [one for one in (_address_space_left(), of_container, _of_machine()) if one is not None]
    return max(0, min(known)) if known else None


def _address_space_left() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return None if soft == resource.RLIM_INFINITY else soft - pages * resource.getpagesize()


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
    except (OSError, ValueError, IndexError):
        return None


def ran_out(error: BaseException) -> Refused | None:
    """Return the refusal for an `error` that means that memory ran out; None if it means something else."""
    words = str(error).lower()
    is_full = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    if not is_full and not (isinstance(error, ImportError | RuntimeError) and any(w in words for w in _NOT_LOADED)):
        return None
    allowed = _allowed_mb()
    if allowed is None:
        way_out = (
            "close other programs, or set prescreen.batch_combos lower; the same command continues where it stopped"
        )
        return Refused(f"memory ran out ({str(error) or type(error).__name__})", way_out)
    return Refused(f"memory ran out: ulimit -v allows {allowed:,} MB ({str(error) or type(error).__name__})", _WAY_OUT)


_WAY_OUT = "ulimit -v unlimited (or a new shell, where the limit is a hard one), then the same command"


def _allowed_mb() -> int | None:
    """Return the limit of `ulimit -v` in megabytes; None without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft // 1_000_000
