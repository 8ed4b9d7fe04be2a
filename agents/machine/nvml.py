"""Ask the NVIDIA driver in a process of its own, so that a driver that hangs does not hang an agent.

`python -m agents.machine.nvml QUESTION FILE` writes one JSON object to FILE, completely or not at all. It asks through
pynvml if that is installed and finds the driver's library, else through nvidia-smi.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

from state.host import process

_COLUMNS = (
    "index,uuid,name,utilization.gpu,memory.used,memory.total,ecc.errors.uncorrected.volatile.total,mig.mode.current"
)
_PLAIN = "--format=csv,noheader,nounits"
_MB = 1 << 20  # the driver's megabytes

Card = dict[str, Any]


def main(argv: list[str]) -> int:
    """Write the answer to the question with the nonce `argv[0]` to the file `argv[1]`."""
    question, path = argv
    answer: dict[str, Any]
    try:
        answer = {"gpus": cards(), "reason": ""}
    except Exception as error:  # a driver can fail in any way, and its message is the answer
        answer = {"gpus": None, "reason": str(error) or type(error).__name__}
    temporary = Path(f"{path}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"question": question, **answer}), encoding="utf-8")
    temporary.replace(path)
    return 0


def cards() -> list[Card]:
    """Return one record for each GPU, and for a card with MIG slices one for each slice.

    Raises:
        RuntimeError: nvidia-smi fails; the message is the driver's.
            NVMLError: the library fails otherwise than by missing the driver's library.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return through_smi()
    except pynvml.NVMLError as error:
        if type(error).__name__ == "NVMLError_LibraryNotFound":  # a container may have the command without the library
            return through_smi()
        raise
    return through_nvml(pynvml)


# nvidia-smi -----------------------------------------------------------------------------------------------------------


def through_smi() -> list[Card]:
    """Ask through nvidia-smi, the command that comes with the driver."""
    found = [_card(line.split(", ")) for line in _smi(f"--query-gpu={_COLUMNS}", _PLAIN)]
    pids = defaultdict(list)
    for line in _smi("--query-compute-apps=gpu_uuid,pid", _PLAIN):
        uuid, _, pid = line.partition(", ")
        if pid.strip().isdigit():
            pids[uuid].append(int(pid))
    slices = _slices(_smi("-L")) if any(card["mig"] for card in found) else {}
    return [one for card in found for one in _devices({**card, "pids": pids[card["uuid"]]}, slices, pids)]


def _smi(*words: str) -> list[str]:
    done = subprocess.run(["nvidia-smi", *words], capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError(said[0] if said else f"nvidia-smi ended with exit code {done.returncode}")
    return [line.rstrip() for line in done.stdout.splitlines() if line.strip()]


def _card(cells: list[str]) -> Card:
    if len(cells) != len(_COLUMNS.split(",")):
        raise RuntimeError(f"nvidia-smi answered {', '.join(cells)!r}")
    index, uuid, name, busy, used, total, errors, mig = cells
    return {
        "index": int(index),
        "uuid": uuid,
        "name": name,
        "utilisation_pct": _number(busy),
        "memory_used_mb": _number(used),
        "memory_total_mb": _number(total),
        "uncorrected_errors": _number(errors),
        "mig": mig == "Enabled",
        "pids": [],
    }


def _number(cell: str) -> float | None:
    """Return the number in a cell; None for [N/A], [Unknown Error] and any other text."""
    try:
        return float(cell)
    except ValueError:
        return None


def _slices(lines: list[str]) -> dict[int, list[tuple[str, str]]]:
    """Return each card's slices (profile, uuid), from lines like `  MIG 1g.10gb  Device  0: (UUID: MIG-…)`."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    index = -1
    for line in lines:
        words = line.split()
        if words[0] == "GPU":
            index = int(words[1].rstrip(":"))
        elif words[0] == "MIG":
            found[index].append((words[1], words[-1].rstrip(")")))
    return found


def _devices(card: Card, slices: dict[int, list[tuple[str, str]]], pids: dict[str, list[int]]) -> list[Card]:
    mine = slices.get(card["index"], []) if card["mig"] else []
    # known for the card, not for its slices
    unknown = {"utilisation_pct": None, "memory_used_mb": None, "memory_total_mb": None}
    return [
        {**card, **unknown, "uuid": uuid, "name": f"{card['name']} MIG {profile}", "slice": number, "pids": pids[uuid]}
        for number, (profile, uuid) in enumerate(mine)
    ] or [card]


# NVML -----------------------------------------------------------------------------------------------------------------


def through_nvml(nvml: Any) -> list[Card]:
    """Ask through the library, which must be initialised. A card that fell off the bus is left out, unless all did."""
    try:
        answers = [_answer(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    finally:
        nvml.nvmlShutdown()
    lost = [answer for answer in answers if isinstance(answer, Exception)]
    if lost and len(lost) == len(answers):
        raise lost[0]
    return [one for answer in answers if isinstance(answer, list) for one in answer]


def _answer(nvml: Any, index: int) -> list[Card] | Exception:
    try:
        return _of_card(nvml, index, nvml.nvmlDeviceGetHandleByIndex(index))
    except nvml.NVMLError as error:
        return cast(Exception, error)


def _of_card(nvml: Any, index: int, handle: Any) -> list[Card]:
    name = _text(nvml.nvmlDeviceGetName(handle))
    slices = _mig_handles(nvml, handle)
    if slices:
        return [{**_nvml_card(nvml, index, one, f"{name} MIG"), "slice": n, "mig": True} for n, one in slices]
    return [_nvml_card(nvml, index, handle, name)]


def _nvml_card(nvml: Any, index: int, handle: Any, name: str) -> Card:
    # a GPU that shares the host's memory has none
    memory = _or_none(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    busy = _or_none(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    running = _or_none(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    errors = _or_none(
        nvml,
        lambda: nvml.nvmlDeviceGetTotalEccErrors(
            handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        ),
    )
    return {
        "index": index,
        "uuid": _text(nvml.nvmlDeviceGetUUID(handle)),
        "name": name,
        "utilisation_pct": None if busy is None else float(busy),
        "memory_used_mb": None if memory is None else memory.used / _MB,
        "memory_total_mb": None if memory is None else memory.total / _MB,
        "uncorrected_errors": None if errors is None else float(errors),
        "mig": False,
        "pids": [process.pid for process in running],
    }


def _mig_handles(nvml: Any, handle: Any) -> list[tuple[int, Any]]:
    mode = _or_none(nvml, lambda: nvml.nvmlDeviceGetMigMode(handle)[0])
    if not mode:
        return []
    places = range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))
    found = (_or_none(nvml, lambda n=n: nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, n)) for n in places)
    return list(enumerate(one for one in found if one is not None))


def _or_none(nvml: Any, ask: Any) -> Any:
    """Return what `ask` returns; None when this kind of card does not support the question."""
    try:
        return ask()
    except nvml.NVMLError:
        return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    process.begin()
    sys.exit(main(sys.argv[1:]))
