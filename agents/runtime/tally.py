"""Count how often each kind of action was done, and how often the next cycle found its expected outcome."""

from collections.abc import Iterable, Mapping

from config.record import replace
from state.records.agent_states import Counts, Deed, Verified

_NONE = Counts(done=0, failed=0, held=0, unmet=0, unknown=0, expected="")


def after(before: Mapping[str, Counts], outcomes: Iterable[Deed], verified: Iterable[Verified]) -> dict[str, Counts]:
    """Return the tally `before` with one more cycle counted, by kind of action.

    `verified` holds the actions of the cycle before, `outcomes` those of this cycle.
    """
    tally = dict(before)
    for one in verified:
        tally[one.kind] = _looked_at(tally.get(one.kind, _NONE), one.holds)
    for deed in outcomes:
        row = tally.get(deed.kind, _NONE)
        counted = replace(row, failed=row.failed + 1) if deed.has_failed else replace(row, done=row.done + 1)
        tally[deed.kind] = replace(counted, expected=deed.expected, holds=None)
    return tally


def _looked_at(row: Counts, holds: bool | None) -> Counts:
    if holds is None:
        return replace(row, unknown=row.unknown + 1, holds=None)
    counted = replace(row, held=row.held + 1) if holds else replace(row, unmet=row.unmet + 1)
    return replace(counted, holds=holds)
