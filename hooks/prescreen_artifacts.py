"""Gate: no long search begins before phase 0 has left its artifact for that symbol and mode."""

from pathlib import Path

from hooks.verdict import Verdict
from state.files import snapshot


def judge(phase0: Path, symbol: str, mode: str) -> Verdict:
    """Pass when `phase0_top500.json` is there, is whole, and belongs to this symbol and mode."""
    record = snapshot.read_json(phase0)
    if not isinstance(record, dict):
        return Verdict("prescreen_artifacts", False, f"{phase0} is missing or not JSON")
    found = (record.get("symbol"), record.get("mode"))
    if found != (symbol, mode):
        return Verdict("prescreen_artifacts", False, f"{phase0} is for {found}, not {(symbol, mode)}")
    return Verdict("prescreen_artifacts", True, f"{len(record.get('results', []))} prescreen results in {phase0}")
