import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from WORKFLOW.engines.planes import all_armed, pack, unpack, words_for


@given(k=st.integers(1, 5), n=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
def test_pack_and_unpack_are_inverse(k: int, n: int, seed: int) -> None:
    bits = np.random.default_rng(seed).random((k, n)) < 0.5
    words = pack(bits)
    assert words.shape == (k, words_for(n))
    assert words.dtype == np.uint64
    assert (unpack(words, n) == bits).all()
    assert (pack(unpack(words, n)) == words).all()


def test_bar_i_is_bit_i_modulo_64_of_word_i_over_64() -> None:
    """Bars 0, 3 and 63 are bits of word 0, bars 64 and 69 of word 1; what lies past the last bar is 0."""
    bits = np.zeros(70, dtype=np.bool_)
    bits[[0, 3, 63, 64, 69]] = True
    assert pack(bits).tolist() == [[2**0 + 2**3 + 2**63, 2**0 + 2**5]]


def test_words_for_bars() -> None:
    assert [words_for(n) for n in (0, 1, 64, 65, 128, 129)] == [0, 1, 1, 2, 2, 3]


def test_all_armed_is_one_row_of_ones() -> None:
    assert unpack(all_armed(130), 130).tolist() == [[True] * 130]
