"""Gate: no long search begins before its log shows which seeds of phase 0 it took over."""

from pathlib import Path

from config import plain
from hooks.verdict import Verdict

LINE = "Loaded Phase0 seed:"


def judge(log: Path, symbol: str, mode: str) -> Verdict:
    """Pass when the log has the line for this symbol and mode."""
    wanted = f"{LINE} {symbol}/{mode} "
    try:
        found = [line for line in plain.read_bytes(log).decode(errors="replace").splitlines() if wanted in line]
    except OSError as error:
        return Verdict("seed_handoff", False, f"{log} cannot be read: {error.strerror}")
    return Verdict("seed_handoff", bool(found), found[-1].strip() if found else f"{log} shows no {wanted.strip()!r}")
