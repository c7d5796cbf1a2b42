"""Batches made ahead of time, in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ...runtime.errors import InvalidInput

__all__ = ["prefetch"]

T = TypeVar("T")

_PATIENCE = 0.05
"""Seconds after which a thread that waits for room looks whether anybody still wants its items."""


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The items in their order, up to `depth` of them made ahead by one background thread.

    An error of the source is raised where its item would have come. The thread begins with the first item asked for,
    and has ended when the iterator is exhausted, closed, or no longer referenced; the source is closed by the thread.
    """
    if depth < 1:
        raise InvalidInput(f"prefetch: depth is {depth}; expected at least 1")
    return _prefetched(items, depth)


def _prefetched(items: Iterable[T], depth: int) -> Iterator[T]:
    ready: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(kind: str, value: T | BaseException | None = None) -> bool:
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=_PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                if not put("item", item):
                    return
            put("end")
        except BaseException as error:
            put("error", error)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="striate-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
