"""How to read a data file: the meaning of its times, where the file itself does not say, and limits on its size."""

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from config.bounds import USUAL, Bounds
from config.errors import Misused

ORDERS = ("dmy", "mdy", "ymd")
DATE_FORMAT_HELP = (
    "how dates are written, where the file does not show it: dmy, mdy or ymd, "
    "or a pattern such as '%%d.%%m.%%Y %%H:%%M'"
)
TIMEZONE_HELP = (
    "zone of the times that carry none: Europe/Berlin, UTC+2, or America/New_York+7 "
    "(most MetaTrader brokers); default: UTC"
)

_DIRECTIVES = "YymdHIMSfpbBjzZ"
_FIXED = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_SHIFTED = re.compile(r"(.+?)([+-])(\d{1,2})(?::(\d{2}))?")
_MOST_HOURS = 15  # no two time zones are further apart in winter


@dataclass(frozen=True)
class Zone:
    """The local time of a place plus `shift`: a broker may be 7 hours ahead of New York and change clocks with it."""

    place: tzinfo
    shift: timedelta = timedelta(0)


@dataclass(frozen=True)
class Reading:
    """What the user said about a data file; None means that the user said nothing.

    `date_format` is one of `ORDERS` or a strptime pattern. `timezone` is a name, an offset, or a name with an offset.
    """

    date_format: str | None = None
    timezone: str | None = None
    bounds: Bounds = USUAL

    def __post_init__(self) -> None:
        if self.date_format is not None:
            _check_format(self.date_format)
        if self.timezone is not None:
            zone_of(self.timezone)

    @property
    def zone(self) -> Zone | None:
        """The time zone of the file's times, or None if the user gave none."""
        return None if self.timezone is None else zone_of(self.timezone)

    def as_json(self) -> dict[str, str]:
        """Return only the values that the user gave."""
        said = {"date_format": self.date_format, "timezone": self.timezone}
        return {name: value for name, value in said.items() if value is not None}


AS_IT_IS = Reading()


def zone_of(text: str) -> Zone:
    """Return the time zone that the user typed.

    Raises:
        Misused: there is no zone of that name.
    """
    if text.upper() in {"UTC", "GMT", "Z"}:
        return Zone(UTC)
    if fixed := _FIXED.fullmatch(text):
        return Zone(timezone(_offset(text, *fixed.groups())))
    if place := _place(text):
        return Zone(place)
    shifted = _SHIFTED.fullmatch(text)
    if shifted and (place := _place(shifted[1])):
        return Zone(place, _offset(text, *shifted.groups()[1:]))
    raise _unknown(text)


def _offset(text: str, sign: str, hours: str, minutes: str | None) -> timedelta:
    if int(hours) > _MOST_HOURS or int(minutes or 0) >= 60:
        raise _unknown(text)
    return (1 if sign == "+" else -1) * timedelta(hours=int(hours), minutes=int(minutes or 0))


def _place(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # `name` is empty, is a folder of the time zone database, or is unknown
        return None


def _unknown(text: str) -> Misused:
    names = {name.rpartition("/")[2].lower(): name for name in sorted(available_timezones())}
    wanted = text.rpartition("/")[2].lower().replace(" ", "_")
    near = [names[word] for word in difflib.get_close_matches(wanted, names, 3, 0.7)]
    say = (
        f"perhaps you mean {' or '.join(near)}"
        if near
        else "type a name such as Europe/Berlin, or an offset such as UTC+2"
    )
    return Misused(f"--timezone {text!r} is not a time zone", f"{say}; most MetaTrader brokers use America/New_York+7")


def _check_format(text: str) -> None:
    used = re.findall(r"%(.?)", text)
    if text in ORDERS or (used and all(letter and letter in _DIRECTIVES for letter in used)):
        return
    raise Misused(
        f"--date-format {text!r} is not a date format",
        f"type {', '.join(ORDERS)}, or a pattern of %{', %'.join(_DIRECTIVES)}, for example '%d.%m.%Y %H:%M'",
    )
