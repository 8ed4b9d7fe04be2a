"""What the refinements of one round hand to the next: their tries, and the best of them as first seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from state.files import snapshot
from state.files.run_folders import RunFolder

if TYPE_CHECKING:  # a merge does not need NumPy here
    from WORKFLOW.search.refine import Refined

CENTRES = 20  # best combos of the prescreen around which more combos are tried
KEEP = 5  # best combos that are handed on; many more seeds would use up the trials of the search


def write(folder: RunFolder, number: int, refined: "Refined") -> None:
    """Write one refinement to its file."""
    best = [{"sharpe_ratio": sharpe, "parameters": parameters} for sharpe, parameters in refined.best]
    snapshot.write_json(folder.refined(number), {"tried": refined.tried, "eligible": refined.eligible, "best": best})


def added(folder: RunFolder, numbers: Sequence[int], carried: dict[str, Any]) -> dict[str, Any]:
    """Return `carried` with the tries of these refinements and their best few combos; a missing file is left out."""
    records = [record for n in numbers if isinstance(record := snapshot.read_json(folder.refined(n)), dict)]
    every = [seed for record in records for seed in record["best"]]
    best = sorted(every, key=lambda seed: -seed["sharpe_ratio"])[:KEEP]
    seeds = [*carried["seeds"], *(seed["parameters"] for seed in best)]
    tries = carried["tries"] + sum(record["tried"] for record in records)
    return {"tries": tries, "seeds": list({str(seed): seed for seed in seeds}.values())}
