"""Ask the gates of a point: ours first, then the user's own executables."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from config.errors import Refused
from config.record import asdict
from hooks import prescreen_artifacts, seed_handoff
from hooks.executable import ask
from hooks.folder import Point, hooks_at
from hooks.verdict import Verdict
from state.files.layout import Roots

Facts = Mapping[str, Any]


class NotPassed(Refused):
    """A gate stops this symbol and mode; `verdicts` are those of all gates of the point."""

    def __init__(self, failed: Verdict, verdicts: Sequence[Verdict]) -> None:
        again = "type the same command again; it begins this symbol and mode anew"
        if failed.path:
            again = f"the hook decides this: change or remove {failed.path}"
        super().__init__(f"gate {failed.gate}: {failed.reason}", failed.fix or again)
        self.verdicts = tuple(verdicts)


def _no_beat() -> None:
    """Do nothing: outside of a swarm nobody watches for a heartbeat."""


beat: Callable[[], None] = _no_beat  # a worker of the swarm puts the function that writes its heartbeat here


def pass_all(point: Point, facts: Facts) -> list[dict[str, Any]]:
    """Ask every gate at `point`, and return the verdicts as records.

    Raises:
        NotPassed: a gate has not passed.
    """
    verdicts = run_gates(point, facts)
    for one in verdicts:
        if not one.passed:
            raise NotPassed(one, verdicts)
    return [asdict(one) for one in verdicts]


def verdicts_of(refusal: Refused) -> tuple[dict[str, Any], ...]:
    """Return the verdicts behind a refusal; () when the refusal does not come from a gate."""
    return tuple(asdict(one) for one in refusal.verdicts) if isinstance(refusal, NotPassed) else ()


def run_gates(point: Point, facts: Facts) -> list[Verdict]:
    """Return the verdict of every gate at `point`: ours, and those in the user's folders."""
    record = {"point": point, **facts}
    theirs = hooks_at(point, Roots.from_environment())
    verdicts = [gate(facts) for gate in _ours().get(point, ())]
    for path in theirs:
        beat()  # a worker that waits for the user's program is not hung
        verdicts.append(_ask(path, record))
    beat()
    return verdicts


def _ours() -> dict[Point, list[Callable[[Facts], Verdict]]]:
    return {
        "after_prescreen": [lambda f: prescreen_artifacts.judge(Path(f["phase0"]), f["symbol"], f["mode"])],
        "before_search": [lambda f: seed_handoff.judge(Path(f["log"]), f["symbol"], f["mode"])],
    }


def _ask(path: Path, record: Facts) -> Verdict:
    """Ask the user's hook for its verdict. A hook that cannot answer has not passed."""
    said = ask(path, record)
    reason = f"{path} {said.reason}" if said.fault else f"{path}: {said.reason}"
    reason = reason.removeprefix(f"{path} ") if said.reason.startswith(str(path)) else reason
    return Verdict(path.name, said.passed, reason, str(path), said.fix)
