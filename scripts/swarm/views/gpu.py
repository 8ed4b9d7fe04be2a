"""bt-worker-gpu-mon: every GPU as the watchdog saw it last, what works on it, or why nothing does."""

from collections.abc import Iterator

from rich.console import Group
from rich.text import Text

from agents.rules.idle import DeviceRow
from scripts.swarm.fit import Block, bar, count, fitted, speed, wrapped
from scripts.swarm.status import build
from scripts.swarm.status_rows import WorkerRow
from scripts.swarm.views.view import LEAVE
from state.files.layout import Roots


class GpuView:
    """Every GPU as the watchdog saw it last, what works on it, or why nothing does."""

    def look(self, roots: Roots) -> None:
        """See `View`; asks no driver, which may hang: the watchdog does, in a child."""
        self._now = build(roots)
        self._watchdog = next((a for a in self._now["agents"] if a["name"] == "watchdog"), None)

    def page(self, width: int | None, height: int | None) -> Group:
        """See `View`."""
        columns = 80 if width is None else width
        blocks = [Block(wrapped(f"GPUs · {self._as_of()}", "bold", "", width, 1))]
        blocks += [Block(tuple(_gpu_lines(one, columns, width)), rank=1, least=1) for one in self._devices()]
        work = [w for w in self._now["workers"] if not w["lane"].startswith("gpu")]
        said = f"on the CPU: {count(len(work), 'worker')}" + (f", {_speed(work)}" if work else f"; {self._now['why']}")
        blocks.append(Block((Text(), *wrapped(said, "dim", "", width)), rank=2))
        blocks.append(Block(() if height is None else (Text(), Text(LEAVE, style="dim")), rank=4))
        return fitted(blocks, width, height)

    def line(self) -> str:
        """See `View`."""
        return "; ".join(f"{d['name']} {_busy(d)}{d['state']}: {d['why']}" for d in self._devices())

    def _devices(self) -> list[DeviceRow]:
        return [device for device in self._now["devices"] if device["kind"] == "gpu"]

    def _as_of(self) -> str:
        if self._watchdog is None or self._watchdog["age_s"] is None:
            return "the watchdog has not looked yet"
        late = "" if self._watchdog["fresh"] else ", which is late"
        return f"as the watchdog saw them {self._watchdog['age_s']:.0f} s ago{late}"


def _gpu_lines(device: DeviceRow, columns: int, width: int | None) -> Iterator[Text]:
    if device["busy_pct"] is not None:
        drawn = max(6, min(40, columns - 24))
        text = Text(f"  {device['name']:<6}").append_text(bar(device["busy_pct"], drawn))
        yield text.append(f" {_busy(device)}")
    said = device["why"] if device["name"] == "gpu" else f"{device['name']} {device['state']}: {device['why']}"
    yield from wrapped(said, "", "  ", width)


def _busy(device: DeviceRow) -> str:
    return "" if device["busy_pct"] is None else f"{device['busy_pct']:.0f} % "


def _speed(workers: list[WorkerRow]) -> str:
    """How fast, by phase: utilisation alone says only that something ran."""
    phases = dict.fromkeys(worker["phase"] for worker in workers)
    rates = {phase: sum(w["rate_per_s"] or 0.0 for w in workers if w["phase"] == phase) for phase in phases}
    return ", ".join(f"{phase} {speed(rate)}".rstrip() for phase, rate in rates.items())
