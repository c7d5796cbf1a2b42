"""Runtimes take turns on one model: each in a process of its own, in short blocks, while the others sleep.

A side is brought up twice. The first process starts with an empty cache of compiled code (`cold`); the second finds
what the first has left (`warm`), and is the one whose runs are timed and whose memory counts. Bringing up means: from
the file to the first outputs, libraries imported before. Blocks alternate, in an order that turns round each time; a
block begins when no other process computes any more, and with a run that is not counted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .exchange import read_arrays, write_arrays
from .process import Worker, WorkerFailed

__all__ = ["Measured", "Trial", "measure"]

BLOCK = 0.06
"""Seconds of a block of runs, unless one run takes longer."""
MOST_RUNS = 1000
SLOW = 0.5
"""Seconds of a run before which no other need be made that is not counted."""
FEWEST_BLOCKS = 2

Said = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """What is to be measured.

    Attributes:
        model: an .onnx file; `script`: a Python file, for the side of that name.
        feeds: the inputs of every run.
        threads: that a side may compute with.
        sides: see `sides.SIDES`; the others are compared with the first.
        seconds: that the turns of each side take, about.
        cold: whether to begin with an empty cache, in a process of its own; else the user's cache is used as it is.
        timeout: seconds that bringing up, or a block, may take.
    """

    model: Path
    feeds: Mapping[str, np.ndarray]
    threads: int
    sides: Sequence[str]
    script: Path | None = None
    seconds: float = 5.0
    cold: bool = True
    timeout: float = 600.0


@dataclass
class Measured:
    """One side. Times are in seconds, memory in bytes; None is what could not be measured.

    Attributes:
        times: of every counted run.
        ratio: median ÷ the median of the first side: above 1, the first side is faster.
        cold, warm: from the file to the first outputs; see the module.
        peak: the most memory resident while a model was brought up and run, less what was resident before.
        cores: processor time ÷ wall time of the counted runs.
        difference: the largest of all outputs from the first side's, ÷ the range of the first side's values.
        fault: why there are no figures.
    """

    side: str
    times: list[float] = field(default_factory=list)
    ratio: float | None = None
    cold: float | None = None
    warm: float | None = None
    peak: int | None = None
    cores: float | None = None
    difference: float | None = None
    fault: str = ""

    def at(self, percent: float) -> float | None:
        """A percentile of the times."""
        return float(np.percentile(self.times, percent)) if self.times else None

    @property
    def median(self) -> float | None:
        return self.at(50)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; of the times, how many and what they come to."""
        made = asdict(self)
        del made["times"]
        spread = {name: self.at(percent) for name, percent in (("median", 50), ("p10", 10), ("p90", 90), ("min", 0))}
        return {**made, "runs": len(self.times), **spread}


def measure(trial: Trial, say: Said = lambda text: None) -> list[Measured]:
    """Figures of each side, in the order asked for.

    Args:
        say: is told what happens now.
    """
    found = {side: Measured(side) for side in trial.sides}
    with tempfile.TemporaryDirectory(prefix="striate-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        write_arrays(folder / "inputs", trial.feeds)
        workers: dict[str, Worker] = {}
        started: dict[str, _Start] = {}
        for side, result in found.items():
            try:
                if trial.cold:
                    say(f"{side}: bringing it up with an empty cache")
                    with _worker(trial, side, folder) as worker:
                        result.cold = _brought_up(worker, trial, side, folder, None).seconds
                say(f"{side}: bringing it up")
                workers[side] = stack.enter_context(_worker(trial, side, folder))
                started[side] = _brought_up(workers[side], trial, side, folder, folder / side)
                result.warm = started[side].seconds
            except WorkerFailed as failed:
                result.fault = str(failed)
                workers.pop(side, None)
        _take_turns(trial, workers, started, found, say)
        outputs = {side: read_arrays(folder / side) for side in workers}
    _compare(found, outputs)
    return list(found.values())


def _worker(trial: Trial, side: str, folder: Path) -> Worker:
    return Worker(trial.threads, folder / f"cache of {side}" if trial.cold else None, trial.timeout)


@dataclass(frozen=True)
class _Start:
    """How a side came up: seconds to a session, and of the first run; bytes resident before all that."""

    created: float
    first: float
    resident: int | None

    @property
    def seconds(self) -> float:
        return self.created + self.first


def _brought_up(worker: Worker, trial: Trial, side: str, folder: Path, outputs: Path | None) -> _Start:
    file = trial.script if side == "script" and trial.script is not None else trial.model
    said = worker.ask(
        {
            "side": side,
            "model": str(file.absolute()),
            "threads": trial.threads,
            "inputs": str(folder / "inputs"),
            "outputs": str(outputs) if outputs is not None else "",
        }
    )
    worker.rest()
    return _Start(said["created"], said["first"], said["resident"])


def _take_turns(
    trial: Trial, workers: dict[str, Worker], started: dict[str, _Start], found: dict[str, Measured], say: Said
) -> None:
    """Blocks of runs until all sides have had their time; a side that fails is left out from then on."""
    guesses = {side: max(started[side].first, 1e-6) for side in workers}
    spent = dict.fromkeys(workers, 0.0)
    cpu = dict.fromkeys(workers, 0.0)
    order, rounds = list(workers), 0
    while order and (rounds < FEWEST_BLOCKS or min(spent[side] for side in order) < trial.seconds):
        rounds += 1
        say(f"timing, round {rounds}")
        for side in list(order):
            runs = max(1, min(MOST_RUNS, round(BLOCK / guesses[side])))
            begin = time.perf_counter()
            try:
                said = workers[side].ask({"runs": runs, "warm_up": guesses[side] < SLOW})
            except WorkerFailed as failed:
                found[side].fault = str(failed)
                order.remove(side)
                workers.pop(side)
                continue
            workers[side].rest()
            spent[side] += time.perf_counter() - begin
            times = said["times"]
            guesses[side] = max(min(times), 1e-6)
            if said["peak"] is not None and (before := started[side].resident) is not None:
                found[side].peak = max(said["peak"] - before, 0)
            if rounds == 1 and guesses[side] < BLOCK / 2:
                continue  # the first block of a quick model only tells how long a run is
            found[side].times += times
            cpu[side] += said["cpu"]
        order.reverse()
    for side in workers:
        found[side].cores = cpu[side] / sum(found[side].times) if found[side].times else None


def _compare(found: dict[str, Measured], outputs: dict[str, dict[str, np.ndarray]]) -> None:
    first, *others = found.values()
    for other in others:
        if first.median and other.median:
            other.ratio = other.median / first.median
        if first.side in outputs and other.side in outputs and not first.fault and not other.fault:
            other.difference, other.fault = _difference(outputs[first.side], outputs[other.side])


def _difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> tuple[float | None, str]:
    """The largest difference ÷ range, NaN agreeing with NaN; or what makes the outputs incomparable."""
    if len(ours) != len(theirs):
        return None, f"it gives {len(theirs)} outputs, not {len(ours)}"
    worst = 0.0
    for a, b in zip(ours.values(), theirs.values(), strict=True):
        if a.shape != b.shape:
            return None, f"it gives an output of shape {list(b.shape)}, not {list(a.shape)}"
        if not a.size:
            continue
        if a.dtype.kind in "OSU" or b.dtype.kind in "OSU":
            worst = max(worst, float((a.astype(str) != b.astype(str)).any()))
            continue
        wide = [x.astype(np.complex128 if x.dtype.kind == "c" else np.float64) for x in (a, b)]
        with np.errstate(all="ignore"):
            apart = np.abs(wide[0] - wide[1])
        apart[(wide[0] == wide[1]) | (np.isnan(wide[0]) & np.isnan(wide[1]))] = 0
        apart[np.isnan(apart)] = np.inf
        seen = np.abs(wide[0][np.isfinite(wide[0])]) if a.dtype.kind == "c" else wide[0][np.isfinite(wide[0])]
        spread = float(np.ptp(seen) or np.abs(seen).max()) if seen.size else 0.0
        worst = max(worst, float(apart.max()) / (spread or 1.0))
    return worst, ""
