"""A prescreen in shards, killed anywhere, comes to what one process without a break comes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import PrescreenSettings, load
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.market import Window
from WORKFLOW.engines.metrics import SCREEN, SHARPE, TOTAL_TRADES
from WORKFLOW.search import prescreen, space
from WORKFLOW.search.prescreen import Progress
from WORKFLOW.search.space import Combos

N = 100
COMBOS = space.draw(load({}).mode("aggressive"), N, np.random.SeedSequence(3))


@dataclass(frozen=True)
class Made:
    """Rows made up from the combo alone, with ties and undefined ones among them."""

    whole: Window = field(default_factory=lambda: Window(0, 1))

    def screen(self, combos: Combos, windows: Sequence[Window], threads: int) -> Floats:
        table = np.zeros((1, len(combos), len(SCREEN)))
        for i in range(len(combos)):
            number = sum(hash(v) % 97 for v in combos.row(i).values())
            table[0, i, SHARPE] = np.nan if number % 11 == 0 else number % 7
            table[0, i, TOTAL_TRADES] = number % 60
        return table


def run(settings: PrescreenSettings, batches: range | None = None, progress: Progress | None = None) -> Progress:
    evaluator: Any = Made()
    return prescreen.run(evaluator, COMBOS, settings, 1, progress or Progress(), lambda *_: None, batches)


@given(of=st.integers(1, 9), batch=st.integers(1, 40), keep=st.integers(1, 60))
def test_shards_put_together_are_the_whole(of: int, batch: int, keep: int) -> None:
    settings = PrescreenSettings(N, keep, 30, batch)
    parts = [run(settings, prescreen.shard(N, settings, number, of)) for number in range(of)]
    assert prescreen.merged(parts, settings) == run(settings)
    covered = [b for number in range(of) for b in prescreen.shard(N, settings, number, of)]
    assert covered == list(range(prescreen.batches_of(N, settings)))


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_shard_goes_on_from_its_checkpoint(stop_after: int) -> None:
    settings = PrescreenSettings(N, 20, 30, 8)
    batches = prescreen.shard(N, settings, 1, 2)
    half = run(settings, batches[:stop_after])
    again = Progress.of_json(half.as_json())
    assert run(settings, batches, again) == run(settings, batches)
