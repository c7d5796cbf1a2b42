"""Many random models: `python -m tests.fuzz.run --examples 2000 --seed 0`; one that failed: `--model PATH.onnx`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from .checking import Verdict, check
from .graphs import Sample, numbered
from .watch import Outcome, watch

FOLDER = Path("failing-graphs")


def save(sample: Sample, name: str, folder: Path = FOLDER) -> str:
    """Writes model and inputs; returns the command that reproduces."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save(sample.model, path)
    feeds = {n: x.astype("U") if x.dtype.kind == "O" else x for n, x in sample.feeds.items()}
    np.savez(path.with_suffix(".npz"), **feeds)
    return f"python -m tests.fuzz.run --model {path}"


def load(path: Path) -> Sample:
    """What `save` has written."""
    with np.load(path.with_suffix(".npz")) as stored:
        feeds = {n: x.astype(object) if x.dtype.kind == "U" else x for n, x in stored.items()}
    return Sample(onnx.load(path), feeds)


def judged(sample: Sample) -> Verdict:
    """`check`, where an error of the check is a failure too."""
    try:
        return check(sample)
    except Exception as error:
        return Verdict("failed", f"the check itself: {type(error).__name__}: {error}")


def run(examples: int, seed: int, *, start: int = 0, workers: int = 2, verbose: bool = False) -> Counter[str]:
    """Prints failures as they come and a table at the end; returns how many there were of each kind.

    Each worker is a process of its own: what kills or stops one, onnxruntime included, is a failure of that graph.
    """
    kinds: Counter[str] = Counter()

    def job(number: int) -> Outcome:
        verdict = judged(numbered(seed, number))
        return Outcome(verdict.kind, message=verdict.detail)

    for number, outcome in watch(job, range(start, start + examples), workers=workers):
        failed = outcome.bad or outcome.kind == "failed"
        kinds["failed" if failed else outcome.kind] += 1
        if failed:
            print(f"{seed}-{number}: {outcome.kind}: {outcome.message or outcome.error}")
            print(f"  {save(numbered(seed, number), f'{seed}-{number}')}", flush=True)
        elif verbose and not outcome.kind.startswith("agree"):
            print(f"{seed}-{number}: {outcome.kind}: {outcome.message}")
    for kind, count in kinds.most_common():
        print(f"{count:7,}  {kind}")
    print(f"{sum(kinds.values()):7,}  graphs")
    return kinds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first graph")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="print explained disagreements too")
    parser.add_argument("--model", type=Path, help="check this saved one instead")
    given = parser.parse_args(arguments)
    if given.model is not None:
        verdict = judged(load(given.model))
        print(f"{verdict.kind}: {verdict.detail}")
        return int(verdict.bad)
    kinds = run(given.examples, given.seed, start=given.start, workers=given.workers, verbose=given.verbose)
    return int(kinds["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
