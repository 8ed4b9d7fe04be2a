"""The status object as something to look at: one page for the terminal, the monitors and whoever follows a run."""

from datetime import datetime

from rich.console import Group
from rich.text import Text

from agents.roles.session_state_manager import IncidentRow
from agents.rules import remaining
from agents.rules.remaining import Band, BandRow
from scripts.swarm.fit import Block, bar, count, fitted, middle, speed, wrapped
from scripts.swarm.status_rows import DiskRow, HealedRow, StatusRow, UnitRow, WorkerRow

__all__ = ["count", "line", "page", "span"]

_STYLES = {"complete": "bold green", "failed": "bold red", "quarantined": "bold red", "cancelled": "yellow"}
_SILENT_SHARE = 0.5  # of the patience with a worker: from there on silence is worth a word
_USUAL_PCT = 95.0  # of the usual speed: from there on nobody needs to be told
_NAMED = 2  # of the expectations that do not hold
_WIDE = 100  # columns from which on moments have their seconds
_FULL_SOON_DAYS = 30.0  # a forecast beyond is not worth a place on the page
_NEXT = ("start_again", "start_a_run", "bring_new_bars", "read_results")


def page(now: StatusRow, width: int | None = None, height: int | None = None) -> Group:
    """What matters most on top; with a width and a height it is made to fit: lists are cut and say so."""
    columns = 80 if width is None else width
    blocks = [
        Block(_header(now, width)),
        Block(_incidents(now["incidents"], width), rank=1, least=2, what="line"),
        Block(_units(now, columns), rank=2, least=1, what="symbol and mode"),
        Block(_workers(now["workers"], columns), rank=3, least=1, what="worker"),
        Block(_idle(now, width), rank=2, least=1, what="idle device"),
        Block(_healed_lines(now, width), rank=4),
        Block(_next_lines(now, width), rank=1, least=1),
    ]
    return fitted(blocks, width, height)


def line(now: StatusRow) -> str:
    """The same in one line, for logs and pipes."""
    units = ", ".join(f"{u['symbol']} {u['mode']} {u['phase']} {u['percent']:.0f} %" for u in now["units"])
    wrong = "".join(f" · ! {one['what']}" for one in now["incidents"])
    healed = f" · healed: {_healed(now['healed'])}" if now["healed"]["deaths"] else ""
    clock = "" if now["elapsed_s"] is None else f" · {span(now['elapsed_s'])}"
    left = "" if now["eta_s"] is None else f", {_left(now['eta_s'], now)}"
    return f"{_where(now)}{clock}{left} · {_round(now)}{units or 'nothing to do'}{healed}{wrong}"


def span(seconds: float) -> str:
    """`1:23`, `2:03:04`, `3 d 04:05`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


# the header -----------------------------------------------------------------------------------------------------------


def _header(now: StatusRow, width: int | None) -> tuple[Text, ...]:
    title = wrapped(_where(now) + _since(now), "bold", "", width)
    if now["stage"] == "stopped":
        return (*title, *wrapped(now["why"], "", "  ", width, 1))
    why = wrapped(now["why"].removeprefix("auto_scheduler: "), "", "  ", width, 1) if now["stage"] == "complete" else ()
    clock = wrapped(_clock(now), "", "  ", width, 1) if now["elapsed_s"] is not None else ()
    return (*title, *why, *clock, *wrapped(" · ".join(_numbers(now)), "", "  ", width))


def _numbers(now: StatusRow) -> list[str]:
    cpu, target = now["utilisation"]["cpu_pct"], now["utilisation"]["targets"]["cpu_pct"]
    gpu = now["utilisation"]["gpu_pct"]
    alive, of = sum(agent["fresh"] for agent in now["agents"]), len(now["agents"])
    numbers = [f"{count(len(now['workers']), 'worker')} on {count(now['lanes'], 'lane')}"]
    numbers.append(f"CPU {'not measured now' if cpu is None else f'{cpu:.0f} %'} (target {target:.0f} %)")
    numbers += [] if gpu is None else [f"GPU {gpu:.0f} %"]
    numbers.append(f"{alive} of {of} agents alive")
    return numbers + _disk(now["disk"]) + _judged(now)


def _judged(now: StatusRow) -> list[str]:
    """What orchestration_consensus found: what is not as it is expected to be, by name, and what that costs."""
    expected, speed_pct = now["expectations"], now["scores"].get("performance")
    if expected is None:
        return []
    broken, repeated_pct = expected["broken"], expected["repeated_pct"] or 0.0
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    calm = not now["incidents"] and all(agent["fresh"] for agent in now["agents"])  # it looked some time ago
    said = ["all is as expected"] if calm and not broken else []
    said += [f"expectations that do not hold: {', '.join(broken[:_NAMED])}{more}"] if broken else []
    if speed_pct is not None and speed_pct < _USUAL_PCT:
        said.append(f"at {speed_pct:.0f} % of the usual speed")
    if repeated_pct >= 1:
        said.append(f"{repeated_pct:.0f} % of the work repeats what ended workers had not saved")
    return said


def _disk(disk: DiskRow) -> list[str]:
    free, days = disk["free_bytes"], disk["full_in_days"]
    if free is None:
        return ["disk unknown"]
    soon = f", full in {days:.1f} days" if days is not None and days < _FULL_SOON_DAYS else ""
    low = free < 10 * disk["wanted_bytes"]
    return [f"{free / 1e9:,.1f} GB of disk free{soon}"] if soon or low else []


def _where(now: StatusRow) -> str:
    stage = now["stage"].removeprefix("1 ") if len(now["units"]) == 1 else now["stage"]
    return f"{now['run_id'] or 'no run'} · {stage}"


def _round(now: StatusRow) -> str:
    if now["round"] is None or now["rounds"] == 1:
        return ""
    return f"round {now['round'] + 1}" + (f" of {now['rounds']}" if now["rounds"] else ", until stop") + " · "


def _since(now: StatusRow) -> str:
    """When this stage began: time of day, and the day if another; of several each line has its own."""
    if now["stage_since"] is None or (len(now["units"]) > 1 and now["elapsed_s"] is not None):
        return ""
    return f" since {_moment(now['stage_since'], now['at'])}"


def _moment(then: str, now: str, seconds: bool = True) -> str:
    since, at = datetime.fromisoformat(then), datetime.fromisoformat(now)
    if since.date() != at.date():
        return f"{since:%Y-%m-%d %H:%M}"
    return f"{since:%H:%M:%S}" if seconds else f"{since:%H:%M}"


def _clock(now: StatusRow) -> str:
    """How long the run has gone on, since when, and how long it still takes, where something on file can tell."""
    if now["elapsed_s"] is None or now["began_at"] is None:
        return ""
    began = f"{_round(now)}running for {span(now['elapsed_s'])}, since {_moment(now['began_at'], now['at'])}"
    return began + (f" · {_left(now['eta_s'], now)}" if now["eta_s"] is not None else "")


def _left(eta: BandRow, now: StatusRow) -> str:
    text = remaining.in_words(Band(eta["low"], eta["high"]))
    return f"{text} left" if now["rounds"] is not None else f"{text} left in this round"


# the lists ------------------------------------------------------------------------------------------------------------


def _incidents(incidents: list[IncidentRow], width: int | None) -> tuple[Text, ...]:
    lines: list[Text] = []
    for one in incidents:
        lines += wrapped(f"! {one['what']}", "red", "  ", width)
        lines += wrapped(f"→ {one['remedy']}", "red", "    ", width)
    return tuple(lines)


def _units(now: StatusRow, columns: int) -> tuple[Text, ...]:
    units = now["units"]
    names = [f"{unit['symbol']} {unit['mode']}" for unit in units]
    drawn = 16 if columns >= _WIDE else 10 if columns >= 70 else 6 if columns >= 50 else 0
    widest = min(max(map(len, names), default=0), max(12, columns // 3 if drawn else columns // 2))
    is_short = columns < _WIDE
    since = [_unit_since(unit, now, is_short) if len(units) > 1 and columns >= 50 else "" for unit in units]
    return tuple(_unit(*row, widest, drawn) for row in zip(units, names, since, strict=True))


def _unit_since(unit: UnitRow, now: StatusRow, is_short: bool) -> str:
    """Of one alone it stands in the title."""
    return "" if unit["since"] is None else f" since {_moment(unit['since'], now['at'], not is_short)}"


def _unit(unit: UnitRow, name: str, since: str, widest: int, drawn: int) -> Text:
    text = Text(f"  {middle(name, widest):<{widest}} ")
    text.append_text(bar(unit["percent"], drawn, "green" if unit["phase"] == "complete" else "cyan"))
    text.append(f" {unit['percent']:3.0f} % ")
    text.append(unit["phase"], style=_STYLES.get(unit["phase"], ""))
    return text.append(f"{since} {unit['note']}".rstrip(), style="dim")


def _workers(workers: list[WorkerRow], columns: int) -> tuple[Text, ...]:
    lanes = max((len(worker["lane"]) for worker in workers), default=0)
    widest = min(max((len(worker["job"]) for worker in workers), default=0), max(14, columns - lanes - 40))
    return tuple(_worker(worker, lanes, widest) for worker in workers)


def _worker(worker: WorkerRow, lanes: int, widest: int) -> Text:
    silent = worker["last_progress_age_s"]
    text = Text.assemble((f"    {worker['lane']:<{lanes}} ", "dim"), f"{middle(worker['job'], widest):<{widest}} ")
    if worker["state"] not in ("running", "ended"):
        text.append(f"{worker['state']} ", style="red")
    text.append(f"{worker['done']:,}/{worker['total']:,}" if worker["total"] else "starting")
    if silent >= _SILENT_SHARE * worker["patience_s"]:
        return text.append(f" no progress for {span(silent)}", style="yellow")
    said = speed(worker["rate_per_s"])
    return text.append(f" {said}" if said else "", style="dim")


def _idle(now: StatusRow, width: int | None) -> tuple[Text, ...]:
    """Devices that do nothing, those with the same reason on one line; no GPU is no news, and after a stop none is."""
    if now["stage"] in ("stopped", "idle"):
        return ()
    reasons: dict[str, list[str]] = {}
    for device in now["devices"]:
        if device["state"] in ("idle", "unknown", "lent") and device["name"] != "gpu":
            reasons.setdefault(f"{device['state']}: {device['why']}", []).append(device["name"])
    lines: list[Text] = []
    for why, names in reasons.items():
        lines += wrapped(f"{_names(names)} {why}", "yellow", "    ", width)
    return tuple(lines)


def _names(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} others"


def _healed_lines(now: StatusRow, width: int | None) -> tuple[Text, ...]:
    return wrapped(f"healed: {_healed(now['healed'])}", "green", "  ", width) if now["healed"]["deaths"] else ()


def _healed(healed: HealedRow) -> str:
    return f"{count(healed['deaths'], 'worker')} replaced, the last: {healed['last']}"


def _next_lines(now: StatusRow, width: int | None) -> tuple[Text, ...]:
    # Units of one market ask for the same bars: once is enough.
    steps = dict.fromkeys(one["what"] for one in now["next_steps"] if one["id"].partition(":")[0] in _NEXT)
    lines = tuple(one for step in steps for one in wrapped(f"next: {step}", "dim", "  ", width, 1))
    return lines + (wrapped(f"next: {now['next']}", "dim", "  ", width) if now["next"] else ())
