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
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ..runtime.errors import StriateError
from .exchange import read_arrays, write_arrays
from .machine import forget_peak, peak_resident, resident
from .sides import OURS, Run, create, import_all

__all__ = ["Ask", "work"]

_PREFIX = "[ONNXRuntimeError]"

Ask = Callable[[dict[str, Any] | None], dict[str, Any] | None]


def main() -> None:
    """Answers until there is nothing more to read; ends after an error."""
    work(_serve)


def work(serve: Callable[[Ask], None]) -> None:
    """Has `serve` answer: it is given a function that takes an answer to what was last asked and gives what comes next.

    There is nothing to answer at first, and nothing is asked any more when None comes.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def ask(answer: dict[str, Any] | None) -> dict[str, Any] | None:
        if answer is not None:
            _say(answers, answer)
        line = sys.stdin.readline()
        return json.loads(line) if line else None

    try:
        serve(ask)
    except Exception as error:
        _say(answers, {"error": _said(error)})


def _serve(ask: Ask) -> None:
    job = ask(None)
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
    if job["side"] in OURS:
        from ..runtime import kept

        kept.written()  # what comes next is neither disturbed by it nor misses it
    asked = ask({"created": created, "first": first, "resident": before, "peak": peak})
    while asked is not None:
        asked = ask({**_timed(run, feeds, asked["runs"], asked["warm_up"]), "peak": peak_resident()})


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


def _say(answers: IO[str], content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def _said(error: Exception) -> str:
    """One line; of our errors under onnxruntime's names, the sentence behind them."""
    text = str(error)
    if text.startswith(_PREFIX):
        behind = error.__cause__
        text = str(behind) if isinstance(behind, StriateError) else text.split(" : ", 3)[-1]
    if not isinstance(error, StriateError):
        text = f"{type(error).__name__}: {text}"
    return " ".join(text.split())


if __name__ == "__main__":
    main()
