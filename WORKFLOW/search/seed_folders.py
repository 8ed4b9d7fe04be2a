"""Read seeds for a search from the prescreens of other machines and lanes: each `phase0_top500.json` in some folders.

A seed is only tried first; its earlier result proves nothing. To keep the statistics honest, all tries of the prescreen
that found the seed are added to this search's own tries. A seed that was selected with knowledge of this run's holdout
is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.errors import Refused
from config.modes import Choice, Dimension, Mode
from state.files import codec, digest
from state.files.artifacts import PHASE0
from state.files.layout import OPTIMIZATIONS
from WORKFLOW.search.space import Combos, Parameters, family_of, on_grid

_MOST_BYTES = 64 * 2**20  # of one file; 500 rows take half a megabyte
_MOST_TRIES = 10**12  # a larger number cannot be a count of combos


@dataclass(frozen=True)
class Seed:
    """Parameters that were good in another prescreen, with the in-sample `sharpe_ratio` that was measured there."""

    parameters: Parameters
    sharpe_ratio: float


@dataclass(frozen=True)
class SeedFile:
    """One `phase0_top500.json`: the folder the user named, the file's hash, tries, last bar and seeds (best first).

    `last_ms` is the open of the last bar that it was selected on, in epoch milliseconds UTC. `left_out` counts the rows
    outside of the parameter space.
    """

    folder: str
    path: str
    sha256: str
    tried: int
    last_ms: int
    seeds: tuple[Seed, ...]
    left_out: int


def read(folders: Sequence[Path], symbol: str, mode: Mode) -> tuple[SeedFile, ...]:
    """Read the prescreens of this symbol and mode in `folders`: results roots, lane roots in them, or result folders.

    The same file under two names counts once. A folder without such a file is no error, because it may hold those of
    other symbols.

    Raises:
        Refused: a path is not a folder, or a file is not the result of a prescreen.
    """
    by_sum: dict[str, SeedFile] = {}
    for folder in folders:
        if not folder.is_dir():
            raise Refused(f"--phase0-seed-dirs names {folder}, which is not a folder", "name folders that hold results")
        for path in _candidates(folder, symbol, mode.name):
            file = _read(folder, path, symbol, mode)
            if file is not None:
                by_sum.setdefault(file.sha256, file)
    return tuple(by_sum.values())


def none_there(folders: Sequence[Path], units: Sequence[tuple[str, str]]) -> Refused:
    """Return the refusal of folders that hold nothing for any of the (symbol, mode) `units`."""
    symbol, mode = units[0]
    return Refused(
        f"no {PHASE0} of {', '.join(' '.join(unit) for unit in units)} in {', '.join(map(str, folders))}",
        f"name folders that hold {OPTIMIZATIONS / symbol / mode / PHASE0}, or leave --phase0-seed-dirs out",
    )


def must_be_past(files: Iterable[SeedFile], holdout_ms: int) -> None:
    """Refuse seeds that were selected on days of this holdout; `holdout_ms` is the open of the holdout's first bar."""
    for file in files:
        if file.last_ms >= holdout_ms:
            raise Refused(
                f"{file.path} was chosen on bars until {_day(file.last_ms)}, but the holdout begins {_day(holdout_ms)}",
                f"leave {file.folder} out of --phase0-seed-dirs: seeds chosen on held-out days would prove nothing",
            )


def merged(files: Iterable[SeedFile]) -> list[Seed]:
    """Return the seeds of all files, best Sharpe ratio first, with each set of parameters once."""
    ranked = sorted((seed for file in files for seed in file.seeds), key=lambda seed: -seed.sharpe_ratio)
    return list({str(sorted(seed.parameters.items())): seed for seed in reversed(ranked)}.values())[::-1]


def as_json(files: Sequence[SeedFile]) -> list[dict[str, Any]]:
    """Return the record for a run; `of_json` reads it back."""
    return [{**vars(file), "seeds": [[seed.sharpe_ratio, seed.parameters] for seed in file.seeds]} for file in files]


def of_json(record: Any) -> tuple[SeedFile, ...]:
    """Read back what `as_json` wrote; without a record there are no seeds."""
    rows = record if isinstance(record, list) else []
    return tuple(
        SeedFile(**{**row, "seeds": tuple(Seed(parameters, sharpe) for sharpe, parameters in row["seeds"])})
        for row in rows
    )


def _candidates(folder: Path, symbol: str, mode: str) -> list[Path]:
    """Return the files that may be prescreens of this symbol and mode, in a folder and the folders directly below."""
    tail = Path(symbol) / mode / PHASE0
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    places = [folder / PHASE0, *(root / deep / tail for root in (folder, *below) for deep in (".", OPTIMIZATIONS))]
    return [place for place in dict.fromkeys(places) if place.is_file()]


def _read(folder: Path, path: Path, symbol: str, mode: Mode) -> SeedFile | None:
    """Read one file; return None if it belongs to another symbol or mode."""
    way_out = f"move {path} away, or name other folders"
    if path.stat().st_size > _MOST_BYTES:
        raise Refused(f"{path} is larger than any prescreen's result", way_out)
    data = path.read_bytes()
    try:
        record: Any = codec.decode(data)
        if (record["symbol"], record["mode"]) != (symbol, mode.name):
            return None
        tried = int(record["tried"])
        last_ms = _milliseconds(record["window"]["to"])
        rows = [(dict(row["parameters"]), row["metrics"]["sharpe_ratio"]) for row in record["results"]]
        if not 0 <= tried <= _MOST_TRIES:
            raise ValueError(tried)
        seeds = [
            Seed(fit, float(sharpe))
            for parameters, sharpe in rows
            if sharpe is not None and (fit := _fit(mode, parameters)) is not None
        ]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise Refused(
            f"{path} is not the {PHASE0} of a prescreen ({type(error).__name__}: {error})", way_out
        ) from error
    ranked = tuple(sorted(seeds, key=lambda seed: -seed.sharpe_ratio))
    return SeedFile(str(folder), str(path), digest.of(data), tried, last_ms, ranked, len(rows) - len(seeds))


def _fit(mode: Mode, parameters: Mapping[str, Any]) -> Parameters | None:
    """Return the parameters as this mode's space holds them, or None if they are outside of the space."""
    if set(parameters) != set(mode.space):
        return None
    fit: Parameters = {}
    for name, dimension in mode.space.items():
        value = parameters[name]
        if not _holds(dimension, value):
            return None
        fit[name] = on_grid(value)
    return fit if family_of(mode).valid(Combos.of([fit]).columns).all() else None


def _holds(dimension: Dimension, value: Any) -> bool:
    """Return whether a value is one of a dimension's values; a number between two steps is not."""
    if isinstance(dimension, Choice):
        return not isinstance(value, bool) and value in dimension.values
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if dimension.is_integer and not isinstance(value, int):
        return False
    steps = (value - dimension.low) / dimension.step
    return 0 <= round(steps) < dimension.size and abs(steps - round(steps)) < 1e-6


def _milliseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return int(moment.timestamp() * 1000)


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
