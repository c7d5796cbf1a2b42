"""A bar for what takes longer than two seconds, on a terminal; elsewhere nothing is shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]

PATIENCE = 2.0
"""Seconds before the bar appears."""


@contextmanager
def progress(label: str, *, stderr: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to be called with (done, of how many); the bar goes when the block ends."""
    if not (sys.stderr if stderr else sys.stdout).isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=stderr),
        transient=True,
    )
    task = bar.add_task(label, total=None)
    began, shown = time.perf_counter(), False

    def update(done: int, total: int) -> None:
        nonlocal shown
        bar.update(task, completed=done, total=total)
        if not shown and time.perf_counter() - began > PATIENCE:
            bar.start()
            shown = True

    try:
        yield update
    finally:
        bar.stop()
