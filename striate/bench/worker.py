"""One runtime in a process of its own: `python -m striate.bench.worker`, spoken to by `measuring`.

It reads one JSON object per line: first the job, then how many runs to time. It answers each with one line on what was
its standard output; whatever else is printed goes to standard error. It ends when nobody speaks to it any more.

    job  {side, model, threads, inputs, outputs}  →  {created, first, resident, peak}
    runs {runs, warm_up}                          →  {times, cpu, peak}
    any                                           →  {error}
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

from ..runtime.errors import StriateError
from .exchange import read_arrays, write_arrays
from .machine import forget_peak, peak_resident, resident
from .sides import Run, create, import_all


def main() -> None:
    """Answers until there is nothing more to read; ends after an error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        _serve(answers)
    except Exception as error:
        _answer(answers, {"error": _said(error)})


def _serve(answers: IO[str]) -> None:
    job = json.loads(sys.stdin.readline() or "null")
    if job is None:
        return
    import_all(job["side"])
    feeds = read_arrays(Path(job["inputs"]))
    before = resident()
    forget_peak()
    begin = time.perf_counter()
    run = create(job["side"], job["model"], job["threads"])
    created = time.perf_counter() - begin
    begin = time.perf_counter()
    results = run(feeds)
    first = time.perf_counter() - begin
    peak = peak_resident()
    if job["outputs"]:
        write_arrays(Path(job["outputs"]), _arrays(results))
    del results
    _answer(answers, {"created": created, "first": first, "resident": before, "peak": peak})
    for line in sys.stdin:
        asked = json.loads(line)
        _answer(answers, {**_timed(run, feeds, asked["runs"], asked["warm_up"]), "peak": peak_resident()})


def _timed(run: Run, feeds: Any, runs: int, warm_up: bool) -> dict[str, Any]:
    """Seconds of each run, and of the processor for all of them."""
    if warm_up:
        run(feeds)
    times, clock = [], time.perf_counter
    cpu = time.process_time()
    for _ in range(runs):
        begin = clock()
        run(feeds)
        times.append(clock() - begin)
    return {"times": times, "cpu": time.process_time() - cpu}


def _arrays(results: list[Any]) -> dict[str, Any]:
    """The outputs that are arrays, by their number; tensors of other libraries become arrays."""
    import numpy as np

    return {str(i): np.asarray(r) for i, r in enumerate(results) if not isinstance(r, (list, tuple, dict))}


def _answer(answers: IO[str], content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def _said(error: Exception) -> str:
    """One line; of our errors under onnxruntime's names, the sentence behind them."""
    behind = error.__cause__
    if isinstance(error, StriateError):
        text = str(behind) if isinstance(behind, StriateError) else str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())


if __name__ == "__main__":
    main()
