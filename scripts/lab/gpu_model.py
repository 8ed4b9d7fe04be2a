"""What the GPU engine should take on a device that is not here: a MODEL, from the compiled kernels and from the work.

Instructions: the PTX of each loop, counted whole (every branch of it, so at most), scaled to the machine code's size,
times how often the loop runs for a combo of the frozen space; that is counted on the bars. Bytes: what each kernel has
to move through device memory at least. Neither knows of latencies, caches or uneven warps: `SHARE_OF_PEAK` stands for
all of that, and is an assumption until a device has been measured.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# One H200 (SXM): vendor's data sheet; the clock is what such devices keep up under load.
MULTIPROCESSORS, SCHEDULERS, CLOCK_HZ, BYTES_PER_S = 132, 4, 1.755e9, 4.8e12
SHARE_OF_PEAK = 0.35
_LANES = 32
_SAMPLE = 512  # combos
_BRANCH = re.compile(r"\bbra(?:\.uni)?\s+(\$L\w+)")


@dataclass(frozen=True)
class KernelLoop:
    """A loop of a kernel: its nesting, its PTX instructions without those of loops inside, how many are float64."""

    depth: int
    instructions: int
    floats: int


@dataclass(frozen=True)
class ComboWork:
    """How much there is for one combo, on average."""

    days: int
    bars: int
    events: float
    trades: float
    far_looks: float  # at 32 blocks each, a trade
    signals: float  # of its own: others share the rest
    places: float  # of a signal's grid


def loops(ptx: str) -> list[KernelLoop]:
    """The natural loops of a kernel, in the order of their headers."""
    blocks = _blocks(ptx)
    follows = _follows(blocks)
    bodies = _bodies(follows)
    found = []
    for header in sorted(bodies):
        mine = bodies[header]
        inner: set[int] = set().union(*(other for other in bodies.values() if other < mine))
        own = [line for block in mine - inner for line in blocks[block][1]]
        depth = sum(mine < other for other in bodies.values())
        found.append(KernelLoop(depth, len(own), sum(".f64" in line for line in own)))
    return found


def per_combo(kernels: Mapping[str, Any], work: ComboWork) -> dict[str, tuple[float, float]]:
    """Kernel → (warp instructions, bytes of device memory) of one combo."""
    words = work.places / _LANES * work.signals
    rounds = {
        "signs": {0: words, 1: 0.0},
        "count_events": {0: words / _LANES},
        "write_events": {0: words / _LANES, 1: work.events * work.signals / 8},  # lanes write side by side, unevenly
        "search (ticks)": {0: work.events / _LANES, 1: work.trades, 2: work.trades * work.far_looks},
        "settle (ticks)": {0: 1.5 * work.trades / _LANES, 1: 1.5 * work.days / 4 / _LANES},  # uneven warps
        "measure": {0: work.days / 4 / _LANES},
    }
    moved = {
        "signs": 4 * words,
        "count_events": 4 * words,
        "write_events": 4 * words + 4 * work.events * work.signals,
        "search (ticks)": 4 * work.events * work.signals + 4 * work.events,
        "settle (ticks)": 4 * work.events + 8 * work.days,
        "measure": 3 * 8 * work.days + 40,
    }
    return {name: (_run(kernels[name], often), moved[name]) for name, often in rounds.items()}


def _run(kernel: Any, often: Mapping[int, float]) -> float:
    found = loops(kernel.ptx)
    # Where nothing trails, the loops with floats inside a search never run.
    alive = [loop for loop in found if not (kernel.name.startswith("search") and loop.depth and loop.floats)]
    listed = sum(len(lines) for _, lines in _blocks(kernel.ptx))
    runs: float = sum(loop.instructions * often.get(loop.depth, 0.0) for loop in alive)
    return runs * float(kernel.instructions) / listed


def work_of(bars: Any, mode: Any, costs: Any, combos: int, seed: int) -> ComboWork:
    """Counted on a sample of the combos by the CPU engine."""
    from WORKFLOW.data.bars import BAR_MS, BARS_PER_DAY
    from WORKFLOW.engines.market import Market
    from WORKFLOW.mtf_resampler import MINUTE_MS
    from WORKFLOW.search import space
    from WORKFLOW.search.evaluate import Evaluator

    market, family = Market.of(bars), space.family_of(mode)
    evaluator = Evaluator(market, family, costs, "native")
    drawn = space.draw(mode, min(combos, space.BLOCK), np.random.SeedSequence(seed))
    signals = len(np.unique(drawn.keys(family.parameters)))
    events, trades, looks, places = [], [], [], []
    for i in range(min(_SAMPLE, len(drawn))):
        row = drawn.row(i)
        signal = evaluator.signal(row)
        turns = signal.side[1:] != signal.side[:-1]
        events.append(int(turns[signal.first_side :].sum()))
        ledger = evaluator.ledger(row, evaluator.whole)
        held = ledger.trades["exit_bar"] - ledger.trades["entry_bar"]
        trades.append(len(held))
        looks.append(float(np.ceil(np.maximum(held - 31, 0) / 1_024).sum()))
        if "fast_timeframe" in row:
            steps = [int(row[f"{name}_timeframe"]) * MINUTE_MS // BAR_MS for name in ("fast", "slow")]
            places.append(len(market) / math.gcd(*steps))
    return ComboWork(
        days=len(market) // BARS_PER_DAY,
        bars=len(market),
        events=float(np.mean(events)),
        trades=float(np.mean(trades)),
        far_looks=sum(looks) / max(1, sum(trades)),
        signals=signals / len(drawn),
        places=float(np.mean(places or [len(market)])),
    )


def text(kernels: Mapping[str, Any], work: ComboWork, combos: int) -> str:
    """The model as a table, called what it is."""
    rate = MULTIPROCESSORS * SCHEDULERS * CLOCK_HZ
    parts = per_combo(kernels, work)
    lines = [
        f"MODEL, not measured: one H200, {combos:,} combos x {work.days} days, {work.trades:.0f} trades a combo",
        f"{'kernel':16}  warp instructions   bytes  floor by operations  floor by bytes",
    ]
    for name, (instructions, moved) in parts.items():
        by_operations, by_bytes = combos * instructions / rate, combos * moved / BYTES_PER_S
        floors = f"{by_operations * 1e3:20.2f} ms  {by_bytes * 1e3:11.2f} ms"
        lines.append(f"{name:16}  {instructions:17,.0f}  {moved:6,.0f}  {floors}")
    operations = combos * sum(one for one, _ in parts.values()) / rate
    moved_s = combos * sum(one for _, one in parts.values()) / BYTES_PER_S
    predicted = max(operations, moved_s) / SHARE_OF_PEAK
    lines.append(f"both floors: {operations * 1e3:.1f} ms by operations, {moved_s * 1e3:.1f} ms by bytes")
    lines.append(
        f"predicted at {SHARE_OF_PEAK:.0%} of peak: {predicted * 1e3:.0f} ms on the device, "
        f"{combos * work.bars / predicted / 1e9:,.0f} G bc/s without drawing, ranking and writing on the host"
    )
    return "\n".join(lines)


def _blocks(ptx: str) -> list[tuple[str, list[str]]]:
    body = ptx[ptx.rindex(".visible .entry") :]
    blocks: list[tuple[str, list[str]]] = [("", [])]
    for line in (line.strip() for line in body[body.index("{") + 1 :].splitlines()):
        if match := re.match(r"(\$L\w+):", line):
            blocks.append((match[1], []))
        elif re.match(r"[@%\w]", line):
            blocks[-1][1].append(line)
            if _BRANCH.search(line) or "ret;" in line:
                blocks.append(("", []))
    return [block for block in blocks if block[0] or block[1]]


def _follows(blocks: list[tuple[str, list[str]]]) -> list[list[int]]:
    at = {name: i for i, (name, _) in enumerate(blocks) if name}
    follows = []
    for i, (_, lines) in enumerate(blocks):
        last = lines[-1] if lines else ""
        jump = _BRANCH.search(last)
        goes_on = (last.startswith("@") or not (jump or "ret;" in last)) and i + 1 < len(blocks)
        follows.append([*([at[jump[1]]] if jump else []), *([i + 1] if goes_on else [])])
    return follows


def _bodies(follows: list[list[int]]) -> dict[int, set[int]]:
    """Header → blocks of each natural loop (Aho, Sethi, Ullman: a back edge leads to a block that dominates it)."""
    before: list[list[int]] = [[] for _ in follows]
    for block, after in _edges(follows):
        before[after].append(block)
    dominators: list[set[int]] = [set(range(len(follows))) for _ in follows]
    dominators[0] = {0}
    changed = True
    while changed:
        changed = False
        for block in range(1, len(follows)):
            common: set[int] = set.intersection(*(dominators[one] for one in before[block]))
            if common | {block} != dominators[block]:
                dominators[block], changed = common | {block}, True
    bodies: dict[int, set[int]] = {}
    for block, header in _edges(follows):
        if header in dominators[block]:
            body, left = {header}, [block]
            while left:
                one = left.pop()
                if one not in body:
                    body.add(one)
                    left += before[one]
            bodies.setdefault(header, set()).update(body)
    return bodies


def _edges(follows: list[list[int]]) -> Iterator[tuple[int, int]]:
    return ((block, after) for block, some in enumerate(follows) for after in some)
