"""What lanes tell each other: the twin of the simulator, and the device's own where there is one."""

from typing import Any

import numpy as np
import pytest

from WORKFLOW.engines.gpu import warp
from WORKFLOW.engines.gpu.toolkit import SIMULATED, cuda, kernel


@kernel
def _talk(values: Any, out: Any) -> None:
    lane = cuda.threadIdx.x
    mine = values[lane]
    out[lane, 0] = warp.ballot(mine > 0)
    out[lane, 1] = warp.shuffle(mine, 5)
    out[lane, 2] = warp.shuffle_up(mine, 3)
    out[lane, 3] = warp.ones(np.uint32(mine))
    out[lane, 4] = warp.lowest_bit(np.uint32(mine))


def test_votes_shuffles_and_bits() -> None:
    random = np.random.default_rng(1)
    values = random.integers(-(2**31), 2**31, 32).astype(np.int32)
    values[:3] = 0, -(2**31), 1
    on_device = cuda.to_device(np.zeros((32, 5), dtype=np.int64))
    _talk[1, 32](cuda.to_device(values), on_device)
    out = on_device.copy_to_host()
    words = values.view(np.uint32)
    assert (out[:, 0] == sum(1 << i for i in range(32) if values[i] > 0)).all()
    assert (out[:, 1] == values[5]).all()
    assert out[:, 2].tolist() == [*values[:3], *values[:-3]]
    assert out[:, 3].tolist() == [int(word).bit_count() for word in words]
    assert out[:, 4].tolist() == [(int(w) & -int(w)).bit_length() - 1 for w in words]


@kernel
def _products(a: Any, b: Any, c: Any, out: Any) -> None:
    i = cuda.threadIdx.x
    out[i] = warp.times(a[i], b[i]) + c[i]


def test_a_product_is_rounded_before_it_is_added() -> None:
    """With a fused multiply-add the difference of a product and its own rounding would not be zero."""
    random = np.random.default_rng(2)
    a, b = random.random(32), random.random(32)
    out = cuda.to_device(np.empty(32))
    _products[1, 32](cuda.to_device(a), cuda.to_device(b), cuda.to_device(-(a * b)), out)
    assert out.copy_to_host().tolist() == [0.0] * 32


@kernel
def _diverge(out: Any) -> None:
    if cuda.threadIdx.x < 31:
        out[cuda.threadIdx.x] = warp.ballot(True)


@pytest.mark.skipif(not SIMULATED, reason="a device would hang")
def test_a_warp_that_diverges_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warp, "_MEETING_S", 0.2)
    with pytest.raises(RuntimeError, match="the warp diverged"):
        _diverge[1, 32](np.zeros(32, dtype=np.int64))
