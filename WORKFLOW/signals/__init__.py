"""Signal families. Each turns a parameter space into two bit planes, and engines know nothing else about a family.

docs/guides/adding_a_signal_family.md shows how to add one.
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
