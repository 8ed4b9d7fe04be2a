"""Keep secrets out of records, logs and titles: text from elsewhere passes through `redacted` before it is written.

It masks the values of variables with a secret's name, and texts in the form of usual tokens. Neither list is complete,
so such variables are not even handed to the swarm (`state.host.environment`).
"""

import os
import re
from collections.abc import Iterator, Mapping

MASK = "[redacted]"
_SHORTEST = 6  # characters of a value; a shorter one (`1`, `true`, `us`) would be masked in many harmless places
_SHORTEST_LINE = 12  # characters of a line, for values with several lines such as key files
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_SHAPES = re.compile(
    r"""
      -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | \bsk-[A-Za-z0-9_-]{16,}                                  # OpenAI, Anthropic
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_[A-Za-z0-9_]{20,} | \bglpat-[A-Za-z0-9_-]{16,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                            # AWS
    | \bAIza[A-Za-z0-9_-]{30,}                                 # Google
    | \bxox[abposr]-[A-Za-z0-9-]{10,}                          # Slack
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*  # JSON web tokens
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)                          # https://user:password@host
    | (?<=[Bb]earer[ ])[A-Za-z0-9._~+/=-]{8,}
    """,
    re.VERBOSE | re.DOTALL,
)
_NAMED = re.compile(
    r"""(?P<name>(?:key|token|secret|password|passwd|credential)[\w-]{0,40}["']?\s{0,4}[=:]\s{0,4})["']?[^\s"',;]{8,}["']?""",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name counts as a secret."""
    return _SECRET_NAME.search(name) is not None


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return `text` with everything masked that looks like a secret or is the value of a secret variable."""
    environment = os.environ if environment is None else environment
    # longest first, because one value may be the beginning of another
    for value in sorted(_values(environment), key=len, reverse=True):
        text = text.replace(value, MASK)
    text = _SHAPES.sub(MASK, text)
    return _NAMED.sub(lambda found: f"{found['name']}{MASK}", text)


def _values(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if is_secret_name(name) and len(value) >= _SHORTEST:
            # A key file may be quoted in parts, so each of its longer lines is masked as well.
            yield value
            yield from (line for line in value.splitlines() if len(line) >= _SHORTEST_LINE)
