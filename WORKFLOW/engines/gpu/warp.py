"""How the 32 lanes of a warp exchange values, and a product that no compiler may fuse with a sum.

Each function has a plain twin for Numba's simulator, which lacks ballot and shuffle, and silently computes bit scans
and libdevice wrong. In the simulator a block is one warp, its lanes are threads, and the lanes meet at one place. If
some lanes do not come, the waiting lanes raise an error, where a device would hang.

All words have 32 bits. Either every lane of a warp calls these functions together, or none does.
"""

import threading
from typing import Any

import numpy as np

from WORKFLOW.engines.gpu.toolkit import SIMULATED, WARP, cuda, device

ALL = 0xFFFFFFFF
_MEETING_S = 60.0

if SIMULATED:
    _opening = threading.Lock()

    class _Meeting:
        """The place where the lanes of one simulated warp leave a value each. Two boards make one wait enough.

        Each lane that goes on wakes the next lane. Threads that all wake at once would fight for the interpreter and
        take six times as long.
        """

        def __init__(self) -> None:
            self.boards: tuple[list[Any], list[Any]] = ([0] * WARP, [0] * WARP)
            self._counting = threading.Lock()
            self._here = 0
            self._turns = [threading.Lock() for _ in range(WARP)]
            for turn in self._turns:
                turn.acquire()

        def wait(self, lane: int) -> None:
            with self._counting:
                self._here = (self._here + 1) % WARP
                is_last = self._here == 0
            if is_last:
                self._turns[0].release()
            if not self._turns[lane].acquire(timeout=_MEETING_S):
                raise RuntimeError(f"lane {lane} waited for others that did not come: the warp diverged")
            if lane + 1 < WARP:
                self._turns[lane + 1].release()

    def _all_lanes(value: Any) -> list[Any]:
        thread: Any = threading.current_thread()
        with _opening:
            if not hasattr(thread._manager, "meeting"):
                thread._manager.meeting = _Meeting()
        meeting = thread._manager.meeting
        # Boards alternate, because a fast lane may write its next value while a slow lane still reads this board.
        thread.board = 1 - getattr(thread, "board", 0)
        board: list[Any] = meeting.boards[thread.board]
        board[thread.thread_id] = value
        meeting.wait(thread.thread_id)
        return board

    def ballot(vote: Any) -> Any:
        """Return a word whose bit i is the vote of lane i."""
        return sum(1 << lane for lane, yes in enumerate(_all_lanes(bool(vote))) if yes)

    def shuffle(value: Any, lane: Any) -> Any:
        """Return the value of lane `lane`."""
        return _all_lanes(value)[lane]

    def shuffle_up(value: Any, delta: Any) -> Any:
        """Return the value of the lane `delta` below; the lowest lanes get their own value."""
        own: Any = threading.current_thread()
        return _all_lanes(value)[own.thread_id - delta if own.thread_id >= delta else own.thread_id]

    def ones(word: Any) -> Any:
        """Count the bits of `word` that are 1."""
        return (int(word) & ALL).bit_count()

    def lowest_bit(word: Any) -> Any:
        """Return the place of the lowest 1, or -1 if there is none."""
        word = int(word) & ALL
        return (word & -word).bit_length() - 1

    def times(a: Any, b: Any) -> Any:
        """Return a * b, rounded to float64 before it is used."""
        return np.float64(a) * np.float64(b)

else:
    from numba.cuda import libdevice as _libdevice

    libdevice: Any = _libdevice

    @device
    def ballot(vote: Any) -> Any:
        """Return a word whose bit i is the vote of lane i."""
        return np.uint32(cuda.ballot_sync(ALL, vote))

    @device
    def shuffle(value: Any, lane: Any) -> Any:
        """Return the value of lane `lane`."""
        return cuda.shfl_sync(ALL, value, lane)

    @device
    def shuffle_up(value: Any, delta: Any) -> Any:
        """Return the value of the lane `delta` below; the lowest lanes get their own value."""
        return cuda.shfl_up_sync(ALL, value, delta)

    @device
    def ones(word: Any) -> Any:
        """Count the bits of `word` that are 1."""
        return np.int32(cuda.popc(np.uint32(word)))

    @device
    def lowest_bit(word: Any) -> Any:
        """Return the place of the lowest 1, or -1 if there is none."""
        return np.int32(np.int32(cuda.ffs(np.uint32(word))) - np.int32(1))

    @device
    def times(a: Any, b: Any) -> Any:
        """Return a * b, rounded to float64 before it is used: `mul.rn` is never fused with a sum."""
        return libdevice.dmul_rn(np.float64(a), np.float64(b))
