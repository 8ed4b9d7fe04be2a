"""The ways a command can end badly, as types: a refusal a person can act on, wrong usage, and everything else."""


class Refused(Exception):
    """An input or an environment that cannot be used as it is: exit code 1, one sentence, no traceback.

    `reason` names the offending value; `way_out` says what to type or change.
    """

    def __init__(self, reason: str, way_out: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.reason}\n  → {self.way_out}" if self.way_out else self.reason


class Misused(Refused):
    """Words that no bars, settings or machine could make right: exit code 2, as for every other usage error."""
