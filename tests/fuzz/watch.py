"""Runs jobs in processes of their own under limits of memory and time; what kills a process is an outcome too."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from striate.cli.progress import progress
from striate.runtime.errors import StriateError

MEMORY = 1 << 30
"""Bytes of address space a job may use beyond what the process has when it starts."""
SLOW, HUNG = 5.0, 30.0
"""Seconds of processor time after which a job counts as slow; seconds on the clock after which it is stopped."""
BAD = ("foreign", "crash", "hang", "slow")


@dataclass(frozen=True)
class Outcome:
    """What came of one job: its kind, and the class, text and traceback of an error."""

    kind: str
    error: str = ""
    message: str = ""
    trace: str = ""

    @classmethod
    def of(cls, kind: str, error: Exception) -> Outcome:
        """`kind` for an error of ours, else "foreign"."""
        ours = [c.__name__ for c in type(error).__mro__ if c.__module__ == StriateError.__module__]
        trace = "".join(traceback.format_exception(error))
        return cls(kind if ours else "foreign", (ours or [type(error).__name__])[0], str(error)[:300], trace)

    @property
    def bad(self) -> bool:
        return self.kind in BAD

    def brief(self) -> Outcome:
        """Without what differs from file to file."""
        return replace(self, message="", trace="")


def watch(
    job: Callable[[int], Outcome], numbers: Iterable[int], *, workers: int = 2, memory: int = MEMORY
) -> Iterator[tuple[int, Outcome]]:
    """Yields (number, outcome) as jobs end, in no particular order."""
    pending = list(reversed(list(numbers)))
    total, done = len(pending), 0
    team = [_Worker(job, memory) for _ in range(workers)]
    try:
        with progress("models") as show:
            while done < total:
                for worker in team:
                    if worker.number is None and pending:
                        worker.give(pending.pop())
                busy = [worker for worker in team if worker.number is not None]
                wait([worker.pipe for worker in busy], timeout=1.0)
                for worker in busy:
                    outcome = worker.outcome()
                    if outcome is not None:
                        yield outcome
                        done += 1
                        show(done, total)
    finally:
        for worker in team:
            worker.stop()


class _Worker:
    """One process, started again after it has died."""

    def __init__(self, job: Callable[[int], Outcome], memory: int) -> None:
        self.job, self.memory = job, memory
        self.number: int | None = None
        self.began = 0.0
        self._start()

    def _start(self) -> None:
        context: Any = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(self.job, self.memory, theirs, self.pipe), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside the progress bar's thread
            self.process.start()
        theirs.close()

    def give(self, number: int) -> None:
        self.number, self.began = number, time.monotonic()
        self.pipe.send(number)

    def outcome(self) -> tuple[int, Outcome] | None:
        """What came of the job, or None while it is running."""
        number = self.number
        assert number is not None
        found = None
        if self.pipe.poll():
            try:
                found = self.pipe.recv()
            except (EOFError, ConnectionResetError):
                self.process.join()
                found = Outcome("crash", f"exit code {self.process.exitcode}")
        elif time.monotonic() - self.began > HUNG:
            found = Outcome("hang")
        if found is None:
            return None
        if found.kind in ("crash", "hang"):
            self.stop()
            self._start()
        self.number = None
        return number, found

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(job: Callable[[int], Outcome], memory: int, pipe: Connection, parents: Connection) -> None:
    parents.close()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    warnings.simplefilter("ignore")
    used = int(re.findall(r"\d+", open("/proc/self/statm").read())[0]) * os.sysconf("SC_PAGE_SIZE")  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    while True:
        number = pipe.recv()
        began = time.process_time()
        outcome = job(number)
        took = time.process_time() - began
        if took > SLOW and not outcome.bad:
            outcome = Outcome("slow", f"{outcome.kind} {outcome.error}", f"{took:.1f} s {outcome.message}")
        pipe.send(outcome)
