"""The form in which signals reach the engines: two bit planes on the base grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines.jit import leaf

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Planes:
    """Signals of k parameter combos over n base bars, packed 64 bars to a word: bar i is bit i % 64 of word i // 64.

    `side` (k, w): 1 = long, 0 = short; meaningless before the combo's `first_side` bar. A change of side between two
    bars that both have a side is an event at the close of the later bar. `armed` (k, w), or (1, w) for all combos
    alike: an event opens a position only where armed; elsewhere it only exits. `first_side` (k,): n if there never is a
    side.

    Look-ahead: bit i may depend on bars up to and including i, and on no later bar. A family that breaks this rule
    looks ahead.
    """

    side: Words
    armed: Words
    first_side: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of combos."""
        return len(self.side)


def words_for(n_bars: int) -> int:
    """Return the number of 64-bit words that hold `n_bars` bits."""
    return (n_bars + 63) // 64


def all_armed(n_bars: int) -> Words:
    """Return one row of ones, for families that may fill at every event."""
    return np.full((1, words_for(n_bars)), ~np.uint64(0), dtype=np.uint64)


def pack(bits: NDArray[np.bool_]) -> Words:
    """Pack booleans (k, n) into words (k, ceil(n / 64))."""
    bits = np.atleast_2d(bits)
    padded = np.zeros((len(bits), words_for(bits.shape[1]) * 64), dtype=np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view(np.dtype("<u8")).astype(np.uint64)


def unpack(words: Words, n_bars: int) -> NDArray[np.bool_]:
    """Unpack words (k, w) into booleans (k, n)."""
    octets = np.ascontiguousarray(words.astype(np.dtype("<u8"))).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :n_bars].astype(np.bool_)


@leaf
def set_bits(words: Words, start: int, stop: int) -> None:
    """Set bits [start, stop) of one row of words (w,)."""
    if start >= stop:
        return
    first, last = start >> 6, (stop - 1) >> 6
    head = ~np.uint64(0) << np.uint64(start & 63)
    tail = ~np.uint64(0) >> np.uint64(63 - ((stop - 1) & 63))
    if first == last:
        words[first] |= head & tail
        return
    words[first] |= head
    for word in range(first + 1, last):
        words[word] = ~np.uint64(0)
    words[last] |= tail
