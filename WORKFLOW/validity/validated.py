"""What `validation.json` holds of one finalist, as a record: the verdict, its checks, and all that they rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from state.records.metrics import Metrics
from WORKFLOW.validity.ambiguity import Ambiguity
from WORKFLOW.validity.benchmark import Holding
from WORKFLOW.validity.certificate import Certificate
from WORKFLOW.validity.chance import Chance
from WORKFLOW.validity.cross_validation import CrossValidation
from WORKFLOW.validity.monte_carlo import MonteCarlo
from WORKFLOW.validity.plateau import PlateauSummary
from WORKFLOW.validity.regimes import RegimeDays
from WORKFLOW.validity.verdict import VerdictCheck
from WORKFLOW.validity.walk_forward import DateSpan, FixedWindow, WalkForward
from WORKFLOW.validity.wicks import WickRecord


@dataclass(frozen=True)
class WindowResult:
    """What the finalist did in one window, run on its own."""

    span: DateSpan
    metrics: Metrics

    def as_json(self) -> dict[str, Any]:
        """For `validation.json`."""
        return {**self.span.as_json(), "metrics": self.metrics.as_json()}


@dataclass(frozen=True)
class Engines:
    """Whether all engines found the same trades, and of how many trades that was asked."""

    agree: bool
    trades_compared: int


@dataclass(frozen=True)
class Validation:
    """All that was found out about one finalist. Mappings are by name of the window where nothing else is said."""

    verdict: str
    candidate: bool
    checks: Sequence[VerdictCheck]
    windows: Mapping[str, WindowResult]
    chance: Chance
    effective_trials: float | None
    buy_and_hold: Mapping[str, Holding]
    engines: Engines
    look_ahead: Certificate
    ambiguity: Ambiguity
    wicks: WickRecord
    cross_check: Mapping[str, Any] | None  # as `WORKFLOW.crosscheck.finalists` records it; None when it was not asked
    plateau: PlateauSummary
    walk_forward: Mapping[str, WalkForward]  # by scheme: the choice made anew in every window
    test_windows: Sequence[FixedWindow]  # of the walk-forward, traded with the finalist's parameters
    cross_validation: CrossValidation
    monte_carlo: Mapping[str, MonteCarlo]
    by_regime: Mapping[str, Mapping[str, RegimeDays]]  # by window, then by regime

    def as_json(self) -> dict[str, Any]:
        """`validation.json` without its labels."""
        return {
            "verdict": self.verdict,
            "candidate": self.candidate,
            "checks": [asdict(check) for check in self.checks],
            **{name: one.as_json() for name, one in self.windows.items()},
            "chance": asdict(self.chance),
            "effective_trials": self.effective_trials,
            "buy_and_hold": self.buy_and_hold_json(),
            "engines": asdict(self.engines),
            "look_ahead": self.look_ahead.as_json(),
            "ambiguity": self.ambiguity.as_json(),
            "wicks": self.wicks.as_json(),
            **({} if self.cross_check is None else {"cross_check": self.cross_check}),
            "plateau": asdict(self.plateau),
            "walk_forward": {
                "process": {scheme: one.as_json() for scheme, one in self.walk_forward.items()},
                "this_strategy": [one.as_json() for one in self.test_windows],
            },
            "cross_validation": self.cross_validation.as_json(),
            "monte_carlo": {name: one.as_json() for name, one in self.monte_carlo.items()},
            "by_regime": self.by_regime_json(),
        }

    def buy_and_hold_json(self) -> dict[str, Any]:
        """`buy_and_hold` as every file has it."""
        return {name: asdict(one) for name, one in self.buy_and_hold.items()}

    def by_regime_json(self) -> dict[str, Any]:
        """`by_regime` as every file has it."""
        return {
            window: {name: asdict(one) for name, one in of_window.items()}
            for window, of_window in self.by_regime.items()
        }
