"""`pareto_front.svg`: all trials of a search with several objectives, and the front; by two of the objectives."""

import io
import math
from collections.abc import Sequence, Set

from config.search import OBJECTIVES
from WORKFLOW.search.pareto import values
from WORKFLOW.search.study import Trial

_TRIED, _FRONT, _CHOSEN, _INK = "#b8b8b8", "#2166ac", "#b2182b", "#1a1a1a"
_APART = 0.08  # of the front's height, between two labels
_SHARES = ("max_drawdown_pct", "total_return", "win_rate")  # fractions: drawn in percent


def svg(
    trials: Sequence[Trial], front: Sequence[Trial], chosen: Set[int], objectives: Sequence[str], title: str
) -> bytes:
    """The first objective upwards, the second to the right; infeasible trials are left out. `chosen`: the numbers of
    the finalists.
    """
    import matplotlib as mpl  # 0.4 s, and only where there is a front
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    shown = [trial for trial in trials if trial.feasible and _is_measured(trial)]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(*_points(shown), s=14, color=_TRIED, linewidths=0, label=f"{len(shown)} feasible trials")
    in_order = sorted(front, key=lambda trial: values(trial)[1])
    x, y = _points(in_order)
    axes.plot(x, y, "o-", color=_FRONT, markersize=6, linewidth=1.2, label=f"the front: {len(front)} trials")
    height, last = max(y, default=0.0) - min(y, default=0.0), -math.inf
    for trial, across, up in zip(in_order, x, y, strict=True):
        if up - last >= _APART * height:
            axes.annotate(str(trial.number), (across, up), xytext=(6, -10), textcoords="offset points", fontsize=8)
            last = up
    finalists = _points([trial for trial in shown if trial.number in chosen])
    axes.scatter(*finalists, s=60, marker="D", facecolors="none", edgecolors=_CHOSEN, label="finalists, by plateau")
    if objectives[1] in _SHARES:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    better = "right" if OBJECTIVES[objectives[1]] > 0 else "left"
    axes.set_xlabel(f"{_words(objectives[1])}, in-sample (better to the {better})", color=_INK)
    axes.set_ylabel("Sharpe ratio over the folds less the penalty, in-sample", color=_INK)
    axes.set_title(title, loc="left", fontweight="bold", color=_INK)
    axes.grid(visible=True, color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    buffer = io.BytesIO()
    # No date and no random ids: the same search gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "pareto", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _is_measured(trial: Trial) -> bool:
    return trial.result.metrics is not None and trial.result.metrics.sharpe_ratio is not None


def _points(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
    found = [values(trial) for trial in trials]
    return [one[1] for one in found], [one[0] for one in found]


def _words(name: str) -> str:
    return name.removesuffix("_pct").replace("_", " ")
