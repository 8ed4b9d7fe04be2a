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
        return visible(f"{self.reason}\n  → {self.way_out}" if self.way_out else self.reason)


class Transient(Refused):
    """What may be otherwise in a moment, by itself: a lock that another run holds, a data folder that is not there.

    A person is refused at once. A job of the swarm waits and is tried again, at most `patience_s` seconds in all (None:
    `swarm.patience_s`); then it has failed.
    """

    patience_s: float | None = None

    def __init__(self, reason: str, way_out: str = "", patience_s: float | None = None) -> None:
        super().__init__(reason, way_out)
        self.patience_s = patience_s


class Recomputable(Refused):
    """A working file of ours that is damaged, or is not what was written: it can be made again from what it is of."""


def visible(text: str) -> str:
    """`text` with what a terminal would obey (escapes, changes of direction, bytes that are no text) spelled out.

    Names of files and words in them come from anywhere; line ends and tabs are ours.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


class Misused(Refused):
    """Words that no bars, settings or machine could make right: exit code 2, as for every other usage error."""
