"""The errors that a command can end with: a refusal that a person can act on, and wrong usage."""


class Refused(Exception):
    """An input or an environment cannot be used as it is: the command prints one sentence and ends with exit code 1.

    `reason` names the offending value; `way_out` says what to type or change.
    """

    def __init__(self, reason: str, way_out: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.way_out = way_out

    def __str__(self) -> str:
        return visible(f"{self.reason}\n  → {self.way_out}" if self.way_out else self.reason)


class Transient(Refused):
    """An obstacle that may pass by itself: another run holds a lock, or a data folder is missing for a moment.

    A person is refused at once. A job of the swarm waits and is tried again for at most `patience_s` seconds in all,
    and fails after that. None means the setting `swarm.blame.patience_s`.
    """

    patience_s: float | None = None

    def __init__(self, reason: str, way_out: str = "", patience_s: float | None = None) -> None:
        super().__init__(reason, way_out)
        self.patience_s = patience_s


class Recomputable(Refused):
    """A working file is damaged or is not what was written; the program can make it again from its source."""


def visible(text: str) -> str:
    """Return `text` with every character that a terminal would obey spelled out: escapes, direction marks, stray bytes.

    File names, and words in files, come from anywhere. Line ends and tabs stay, because our own code writes them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


class Misused(Refused):
    """The command line asks for something that no bars, settings or machine could make valid: exit code 2."""
