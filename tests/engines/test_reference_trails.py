"""Trailing stops: the specification's "Execution" on tapes checked by hand, as in `test_reference_exits.py`."""

import pytest

from tests.engines.builders import golden

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])


@ENGINES
def test_the_trail_follows_bars_before_the_current_one(engine: str) -> None:
    """Trail 10 %: on bar 3 it still stands at 90 (best so far 100) and the low of 95 is safe, whatever the high of 200
    does; on bar 4 it stands at 180."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100  91  100    L   10000
         100  200  95  200    L   20000
         200  250 180  250    L   18000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     2 100    4 180 8000 signal trailing_stop
        """,
        trailing_stop=0.1,
    )


@ENGINES
def test_the_trail_of_a_short_and_its_tick(engine: str) -> None:
    """Best low 51: 51·1.1 = 56.1, down to 56. Sold at 100, bought at 56: +4,400."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  105  51   55    S   14500
          55   55  55   55    S   14500
          55   56  52   52    S   14400
        """,
        """
        side  entry  at exit at  pnl opened closed
        short     2 100    4 56 4400 signal trailing_stop
        """,
        trailing_stop=0.1,
    )


@ENGINES
def test_the_trail_starts_at_the_anchor(engine: str) -> None:
    """On the entry bar itself the trail stands at 90, whatever came before."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  500 100  100    L   10000
         100  100  89  100    L    9000
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    2 90 -1000 signal trailing_stop
        """,
        trailing_stop=0.1,
    )


@ENGINES
def test_a_trail_never_retreats(engine: str) -> None:
    """Best 200 on bar 2, lower highs after it: the trail stays at 100 (50 %), and bar 4 touches it."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  200 100  150    L   15000
         150  160 101  150    L   15000
         150  150 100  150    L   10000
        """,
        """
        side entry  at exit  at pnl opened closed
        long     2 100    4 100   0 signal trailing_stop
        """,
        trailing_stop=0.5,
    )


@ENGINES
@pytest.mark.parametrize(
    ("stop_loss", "trailing_stop", "exit_"),
    [
        (0.05, 0.20, "95 -500 signal stop_loss"),  # 95 against 80
        (0.20, 0.05, "95 -500 signal trailing_stop"),  # 80 against 95
        (0.05, 0.05, "95 -500 signal stop_loss"),  # neither is tighter: it is the stop's
    ],
)
def test_the_tighter_of_stop_and_trail_decides(engine: str, stop_loss: float, trailing_stop: float, exit_: str) -> None:
    golden(
        engine,
        """
        open high low close side
         100  100 100  100    S
         100  100 100  100    L
         100  100  90  100    L
        """,
        f"side entry at exit at pnl opened closed\nlong 2 100 2 {exit_}",
        stop_loss=stop_loss,
        trailing_stop=trailing_stop,
    )


@ENGINES
def test_the_trail_takes_over_once_it_is_tighter(engine: str) -> None:
    """Short, stop 110, trail 20 %: 120 at first; after a low of 80 it is 96. Gapped at 98: −(98/100 − 1) = +200."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  109  80   90    S   11000
          98  100  98   98    S   10200
        """,
        """
        side  entry  at exit at pnl opened closed
        short     2 100    3 98 200 signal trailing_stop
        """,
        stop_loss=0.1,
        trailing_stop=0.2,
    )
