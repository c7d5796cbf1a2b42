"""Work that may kill its process, done in forked children; who died is known."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Literal

__all__ = ["isolated", "paced"]

Outcome = Literal["done", "failed", "died"]


def isolated(
    count: int, work: Callable[[int], Any], *, chunk: int = 200, limit: float = 120.0
) -> Iterator[tuple[int, Outcome, Any]]:
    """(i, outcome, result) for i in range(count).

    Args:
        work: of one number; its result can be written as JSON.
        chunk: so many are done by one child, if it lives.
        limit: seconds for one of them.

    Returns:
        `done` with the result, `failed` with a traceback, or `died` with the name of a signal.
    """
    begin = 0
    while begin < count:
        for i, outcome, result in _child(begin, min(begin + chunk, count), work, limit):
            yield i, outcome, result
            begin = i + 1


def _child(begin: int, end: int, work: Callable[[int], Any], limit: float) -> Iterator[tuple[int, Outcome, Any]]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        faulthandler.disable()
        try:
            with os.fdopen(write, "wb") as pipe:
                for i in range(begin, end):
                    signal.alarm(int(limit))
                    message = json.dumps(_outcome(work, i)).encode()
                    pipe.write(struct.pack("<q", len(message)) + message)
                    pipe.flush()
        finally:
            os._exit(0)
    os.close(write)
    i = begin
    with os.fdopen(read, "rb") as pipe:
        while head := pipe.read(8):
            outcome, result = json.loads(pipe.read(struct.unpack("<q", head)[0]))
            yield i, outcome, result
            i += 1
    status = os.waitpid(pid, 0)[1]
    if i < end:
        code = os.waitstatus_to_exitcode(status)
        yield i, "died", signal.Signals(-code).name if code < 0 else f"exit {code}"


def _outcome(work: Callable[[int], Any], i: int) -> tuple[Outcome, Any]:
    try:
        return "done", work(i)
    except Exception:
        return "failed", traceback.format_exc()


def paced(seconds: float = 10.0) -> Callable[[], bool]:
    """Says yes once in so many seconds: time to tell how far one is."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        if time.monotonic() - last < seconds:
            return False
        last = time.monotonic()
        return True

    return due
