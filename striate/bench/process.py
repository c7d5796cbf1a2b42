"""A worker process as the measuring one sees it: it can be asked, waited for, and is certain to end."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from .machine import cpu_seconds

__all__ = ["Worker", "WorkerFailed"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")
PAUSE = 0.06
"""Seconds after a block of runs, in which idle threads stop looking for work."""
LONGEST_PAUSE = 1.0
TICK = 0.03
"""Seconds in which a process that waits adds nothing to its account, which counts in hundredths."""


class WorkerFailed(Exception):
    """What the process said before it ended, or how it ended."""


class Worker:
    """A process of `striate.bench.worker`, ended with all it has started when the block ends.

    Args:
        threads: of the libraries that read it from the environment.
        cache: folder of compiled code; None: the user's.
        patience: seconds that an answer may take.
    """

    def __init__(self, threads: int, cache: Path | None, patience: float, module: str = "striate.bench.worker") -> None:
        self._patience = patience
        environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
        if cache is not None:
            environment["STRIATE_CACHE"] = str(cache)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=os.name == "posix",
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answer.

        Raises:
            WorkerFailed: if there is none in time, or it is an error.
        """
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=self._patience)
        except queue.Empty:
            self.close()
            raise WorkerFailed(f"no answer within {self._patience:g} s (--timeout)") from None
        if not line:
            raise WorkerFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def rest(self) -> None:
        """Returns when the process has stopped computing: its idle threads may look for work for a while."""
        time.sleep(PAUSE)
        end = time.perf_counter() + LONGEST_PAUSE
        spent = cpu_seconds(self._process.pid)
        while spent is not None and time.perf_counter() < end:
            time.sleep(TICK)
            before, spent = spent, cpu_seconds(self._process.pid)
            if spent == before:
                return

    def close(self) -> None:
        """Ends the process and what it has started."""
        if self._process.poll() is None and os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        elif self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._errors):
            with suppress(OSError, AttributeError):
                stream.close()  # type: ignore[union-attr]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                self._lines.put(line)
        self._lines.put(b"")

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"its process {how}{': ' + said[-1] if said else ''}"
