"""Our stationary bootstrap against that of `arch`: the same days from the same generator."""

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap

from WORKFLOW.validity.bootstrap import stationary


@pytest.mark.parametrize(("days", "block_days"), [(2, 1), (2, 2), (7, 3), (100, 10), (597, 10), (597, 1), (730, 597)])
def test_every_draw_is_that_of_arch(days: int, block_days: int) -> None:
    ours = stationary(days, block_days, 50, np.random.default_rng(11))
    theirs = StationaryBootstrap(block_days, np.arange(days), seed=np.random.default_rng(11))
    for mine, ((drawn,), _) in zip(ours, theirs.bootstrap(50), strict=True):
        assert mine.tolist() == drawn.tolist()
