"""What refinements of one round hand to the next: their tries, and the best of them as first seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from state.files import snapshot
from state.files.run_folders import RunFolder

if TYPE_CHECKING:  # numpy costs a merge what it does not need here
    from WORKFLOW.search.refine import Refined

CENTRES = 20  # of the prescreen's best: around these more combos are tried
KEEP = 5  # of what was found: more seeds would leave the search no trials of its own


def write(folder: RunFolder, number: int, refined: "Refined") -> None:
    """Put one refinement on file."""
    best = [{"sharpe_ratio": sharpe, "parameters": parameters} for sharpe, parameters in refined.best]
    snapshot.write_json(folder.refined(number), {"tried": refined.tried, "eligible": refined.eligible, "best": best})


def added(folder: RunFolder, numbers: Sequence[int], carried: dict[str, Any]) -> dict[str, Any]:
    """`carried` with the tries of these refinements and the best few of all of them; one that is gone is left out."""
    records = [record for n in numbers if isinstance(record := snapshot.read_json(folder.refined(n)), dict)]
    every = [seed for record in records for seed in record["best"]]
    best = sorted(every, key=lambda seed: -seed["sharpe_ratio"])[:KEEP]
    seeds = [*carried["seeds"], *(seed["parameters"] for seed in best)]
    tries = carried["tries"] + sum(record["tried"] for record in records)
    return {"tries": tries, "seeds": list({str(seed): seed for seed in seeds}.values())}
