"""A prescreen in shards that is killed anywhere has the same result as one undisturbed process."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import PrescreenSettings, load
from WORKFLOW.engines.best import Best, passed
from WORKFLOW.engines.market import Window
from WORKFLOW.engines.metrics import SCREEN, SHARPE, TOTAL_TRADES
from WORKFLOW.search import prescreen, space
from WORKFLOW.search.prescreen import PrescreenProgress
from WORKFLOW.search.space import Combos

N = 100
SETTINGS = load({})
COMBOS = space.Draw(SETTINGS.mode("aggressive"), N, np.random.SeedSequence(3))


@dataclass(frozen=True)
class Made:
    """Rows made up from the combo alone, with ties and undefined ones among them."""

    whole: Window = field(default_factory=lambda: Window(0, 1))

    together: int = 1

    def best(self, combos: Combos, min_trades: int, keep: int, threads: int) -> Best:
        table = np.zeros((len(combos), len(SCREEN)))
        for i in range(len(combos)):
            number = sum(hash(v) % 97 for v in combos.row(i).values())
            table[i, SHARPE] = np.nan if number % 11 == 0 else number % 7
            table[i, TOTAL_TRADES] = number % 60
        return passed(np.arange(len(combos)), table, min_trades)

    def batches_together(self, batch_combos: int) -> int:
        return self.together


def few(keep: int = 20, batch: int = 8) -> PrescreenSettings:
    return replace(SETTINGS.prescreen, combos=N, keep=keep, min_trades=30, batch_combos=batch)


def run(
    settings: PrescreenSettings,
    batches: range | None = None,
    progress: PrescreenProgress | None = None,
    together: int = 1,
) -> PrescreenProgress:
    evaluator: Any = Made(together=together)
    return prescreen.run(evaluator, COMBOS, settings, 1, progress or PrescreenProgress(), lambda *_: None, batches)


@given(of=st.integers(1, 9), batch=st.integers(1, 40), keep=st.integers(1, 60))
def test_shards_put_together_are_the_whole(of: int, batch: int, keep: int) -> None:
    settings = few(keep, batch)
    parts = [run(settings, prescreen.shard(N, settings, number, of)) for number in range(of)]
    assert prescreen.merged(parts, settings) == run(settings)
    covered = [b for number in range(of) for b in prescreen.shard(N, settings, number, of)]
    assert covered == list(range(prescreen.batches_of(N, settings)))


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_shard_goes_on_from_its_checkpoint(stop_after: int) -> None:
    settings = few()
    batches = prescreen.shard(N, settings, 1, 2)
    half = run(settings, batches[:stop_after])
    again = PrescreenProgress.of_json(half.as_json())
    assert run(settings, batches, again) == run(settings, batches)


@pytest.mark.parametrize("together", [2, 3, 100])
def test_batches_done_at_once_come_to_the_same_after_a_first_one_alone(together: int) -> None:
    settings, heard = few(), []
    evaluator: Any = Made(together=together)
    found = prescreen.run(evaluator, COMBOS, settings, 1, PrescreenProgress(), lambda batch, *_: heard.append(batch))
    assert found == run(settings)
    assert heard[0] == 1
    assert heard == [*range(1, 13, together), 13]
    half = run(settings, range(4))
    assert run(settings, None, half, together) == found


# the draw -----------------------------------------------------------------------------------------------------------


@given(block=st.integers(1, 60), batch=st.integers(1, 40))
def test_every_combo_has_one_place_whatever_the_blocks_and_batches(block: int, batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space, "BLOCK", block)
        drawn = space.Draw(COMBOS.mode, N, np.random.SeedSequence(3))
        parts = [part for first in range(0, N, batch) for part in drawn.at(range(first, min(first + batch, N)))]
        numbers = [int(number) for numbers, _ in parts for number in numbers]
        assert sorted(numbers) == list(range(N))
        rows = [combos.row(i) for _, combos in parts for i in range(len(combos))]
        assert drawn.rows(numbers) == rows
        asked = numbers[::-3]
        assert drawn.rows(asked) == [rows[numbers.index(number)] for number in asked]


def test_neighbours_in_a_block_share_their_signal() -> None:
    [(_, combos)] = COMBOS.at(range(N))
    family = space.family_of(COMBOS.mode)
    signals = list(zip(*(combos.columns[name].tolist() for name in family.parameters), strict=True))
    assert signals == sorted(signals)


def test_the_first_block_is_what_one_draw_gives_and_the_others_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "BLOCK", 40)
    blocks = space.Draw(COMBOS.mode, N, np.random.SeedSequence(3)).rows(range(N))
    one = space.draw(COMBOS.mode, 40, np.random.SeedSequence(3))
    assert blocks[:40] == [one.row(i) for i in range(40)]
    assert blocks[40:80] != blocks[:40]


@given(batches=st.tuples(st.integers(1, 70), st.integers(1, 70)), block=st.sampled_from([7, 33, 100]))
def test_what_is_found_depends_on_no_batch_size(batches: tuple[int, int], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space, "BLOCK", block)
        drawn = space.Draw(COMBOS.mode, N, np.random.SeedSequence(3))
        evaluator: Any = Made()
        found = [
            prescreen.run(evaluator, drawn, few(batch=size), 1, PrescreenProgress(), lambda *_: None)
            for size in batches
        ]
        held = few(batch=batches[0])
        assert (
            prescreen.run(evaluator, drawn, held, 1, PrescreenProgress(), lambda *_: None, held=batches[1]) == found[0]
        )
        assert found[0] == found[1]
        assert len(prescreen.result(found[0], drawn).best) == len(found[0].combos) == 20


def test_keys_order_combos_by_their_columns_even_where_no_integer_holds_their_product() -> None:
    random = np.random.default_rng(1)
    names = [f"p{i}" for i in range(7)]
    columns = {name: random.choice([0, 5, 10_000, -3, 9_999], 500) for name in names}
    combos = Combos(columns)
    by_hand = np.lexsort([columns[name] for name in reversed(names)])
    assert np.argsort(combos.keys(names), kind="stable").tolist() == by_hand.tolist()
    distinct, which = combos.distinct(names)
    assert all((distinct[name][which] == columns[name]).all() for name in names)
