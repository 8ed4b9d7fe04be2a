"""Steps of a long phase: each step has a name and is done once, however often the phase is begun.

The code that computes asks `Steps` to `do` the work of a named step. `Steps` itself only does the work. `KeptSteps`
also writes the result to a file, and reads it from there the next time. The result of a step goes through the same
bytes in both cases, so a killed phase ends with the same results as an undisturbed one. All steps are planned before
the first one: a step outside of the plan cannot be done, and a phase that leaves a step out does not end.

Steps of one call (`each`, `together`) do not depend on each other, so they may be done anywhere and in any order.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from state.files.checkpoint import Checkpoint
from WORKFLOW.steps import exact

T = TypeVar("T")
Heard = Callable[[int], None]
_NONE = object()


@dataclass(frozen=True)
class PlannedStep:
    """One step of the plan. `inputs` is what its result depends on besides the inputs of all steps; plain JSON."""

    name: str
    inputs: Any = None

    @property
    def kind(self) -> str:
        """The words for the progress bar: the name without its numbers."""
        return re.split(r" o[fn] trial|,| \d", self.name)[0]


class Steps:
    """Steps whose results are not kept."""

    def do(self, name: str, work: Callable[[], T]) -> T:  # noqa: ARG002 - of those that are kept
        """Do the work and return its result."""
        return work()

    def each(self, names: Sequence[str], work: Callable[[int], T], threads: int = 1) -> list[T]:
        """Return the result of `work` for the number of each of `names`, with `threads` of them at a time."""
        with ThreadPoolExecutor(max(threads, 1)) as pool:
            return list(pool.map(work, range(len(names))))

    def together(self, names: Sequence[str], work: Callable[[list[int], Heard], list[T]]) -> list[T]:
        """Return the results of `work` for the numbers of `names`, which take less time when they are done together.

        `work` receives the numbers that are left to do, and a function to report how many are done.
        """
        return work(list(range(len(names))), lambda _: None)

    def rest(self, kind: str) -> None:
        """Declare that no work is left in the steps whose names begin with `kind`."""

    def aside(self, name: str, inputs: Any, work: Callable[[], T]) -> T:  # noqa: ARG002 - of those that are kept
        """Do a step outside of the plan, because nobody knows beforehand whether it is needed; its result is kept."""
        return work()


class KeptSteps(Steps):
    """Steps that `checkpoint` keeps. `warn` receives the reason, once, if a step cannot be kept; the work goes on."""

    def __init__(self, checkpoint: Checkpoint, warn: Callable[[str], None]) -> None:
        self.checkpoint = checkpoint
        self.done_now: list[str] = []  # planned steps whose results were not on file
        self._warn = warn
        self._planned: dict[str, Any] = {}
        self._finished: set[str] = set()
        self._asked: set[str] = set()
        self._on_progress: Callable[[int, str], None] = lambda _done, _note: None
        self._is_warned = False

    @contextmanager
    def under_way(self, plan: Sequence[PlannedStep], on_progress: Callable[[int, str], None]) -> Iterator[int]:
        """Open the steps of `plan`; the context value is the number of results already on file.

        `on_progress` receives how many steps are done, beginning with those on file, and the kind of the current step.
        """
        self._planned, self._on_progress = {step.name: step.inputs for step in plan}, on_progress
        assert len(self._planned) == len(plan), "two steps of one name"
        self._guarded(lambda: self.checkpoint.plan(list(self._planned)))
        self._finished = {step.name for step in plan if self.checkpoint.get(step.name, step.inputs) is not None}
        self._asked = set()
        on_progress(len(self._finished), "")
        yield len(self._finished)
        forgotten = self._planned.keys() - self._asked
        assert not forgotten, f"steps that were planned and not done: {sorted(forgotten)}"

    def do(self, name: str, work: Callable[[], T]) -> T:
        """Return the result of the step, from the file if the step was done before."""
        value = self._recalled(name)
        if value is not _NONE:
            return value  # type: ignore[no-any-return]
        self._say(name)
        return self._told(name, work())

    def each(self, names: Sequence[str], work: Callable[[int], T], threads: int = 1) -> list[T]:
        """Do each step as `do` does; results are kept in the order of `names`."""
        values = [self._recalled(name) for name in names]
        missing = [number for number, value in enumerate(values) if value is _NONE]
        if missing:
            self._say(names[missing[0]])
            with ThreadPoolExecutor(max(threads, 1)) as pool:
                for number, value in zip(missing, pool.map(work, missing), strict=True):
                    values[number] = self._told(names[number], value)
        return values

    def together(self, names: Sequence[str], work: Callable[[list[int], Heard], list[T]]) -> list[T]:
        """Do the steps of `names` whose results are not on file, as `do` does."""
        values = [self._recalled(name) for name in names]
        missing = [number for number, value in enumerate(values) if value is _NONE]
        if missing:
            found = work(missing, lambda n: self._say(names[missing[0]], n))
            for number, value in zip(missing, found, strict=True):
                values[number] = self._told(names[number], value)
        return values

    def rest(self, kind: str) -> None:
        """Mark the planned steps that nobody asked for as done, with an empty result."""
        for name in [one for one in self._planned if one.startswith(kind) and one not in self._asked]:
            self.do(name, lambda: None)

    def aside(self, name: str, inputs: Any, work: Callable[[], T]) -> T:
        """Do the step as `do` does, outside of the plan."""
        value = self._read(name, inputs)
        return self._kept(name, inputs, work()) if value is _NONE else value

    # one step ---------------------------------------------------------------------------------------------------------

    def _recalled(self, name: str) -> Any:
        assert name in self._planned, f"{name!r} is not in the plan"
        self._asked.add(name)
        value = self._read(name, self._planned[name])
        if value is _NONE:
            self._finished.discard(name)
        return value

    def _told(self, name: str, value: T) -> T:
        value = self._kept(name, self._planned[name], value)
        self.done_now.append(name)
        self._finished.add(name)
        self._say(name)
        return value

    def _say(self, name: str, more: int = 0) -> None:
        self._on_progress(len(self._finished) + more, PlannedStep(name).kind)

    def _read(self, name: str, inputs: Any) -> Any:
        data = self.checkpoint.get(name, inputs)
        try:
            return _NONE if data is None else exact.decode(data)
        except ValueError:  # an older layout; the step is done again
            return _NONE

    def _kept(self, name: str, inputs: Any, value: T) -> T:
        data = exact.encode(value)
        self._guarded(lambda: self.checkpoint.put(name, inputs, data))
        return exact.decode(data)  # type: ignore[no-any-return]

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if not self._is_warned:
                self._warn(f"  note: steps of this phase cannot be kept, so they are done again after a kill: {error}")
            self._is_warned = True
