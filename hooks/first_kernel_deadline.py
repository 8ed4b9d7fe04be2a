"""Gate: the first batch of a prescreen must be done soon; otherwise the worker has hung before it began."""

from hooks.verdict import Verdict


def judge(done: int, age_s: float, deadline_s: float) -> Verdict:
    """Pass once any combos are done, and before that until the worker is `deadline_s` old."""
    waited = f"{done:,} combos {age_s:.0f} s after the start (the first batch is due after {deadline_s:.0f} s)"
    return Verdict("first_kernel_deadline", done > 0 or age_s <= deadline_s, waited)
