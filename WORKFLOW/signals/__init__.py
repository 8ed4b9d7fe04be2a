"""Signal families: each turns a parameter space into two bit planes; engines know nothing else of them.

A family of your own: docs/guides/adding_a_signal_family.md.
"""

from WORKFLOW.signals.donchian import DONCHIAN
from WORKFLOW.signals.family import Family
from WORKFLOW.signals.mtf_ema import MTF_EMA

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        MTF_EMA,
        DONCHIAN,
    )
}
