"""Results and bars as pandas DataFrames, for notebooks: `from WORKFLOW import frames`.

    frames.results()                     every strategy that any run has chosen
    frames.result("SOL/aggressive")      one result: .trades .equity .returns .trials .prescreen .metrics .validation
    frames.bars("~/data", "SOL")         the bars as a run reads them

All moments are UTC. `_pct` columns are fractions: 0.12 is 12 %. An undefined value is NaN, or <NA> in columns of whole
numbers and of yes and no. You may change every frame, because no file is ever written. Columns, units and dtypes stand
in docs/reference/frames.md.
"""

from WORKFLOW.frames.leaderboard import results
from WORKFLOW.frames.market import bars
from WORKFLOW.frames.result import PublishedResult, result

__all__ = ["PublishedResult", "bars", "result", "results"]
