"""Ctrl-C during a training: it ends after the step at hand, so that what was learnt can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from ..trainer.callbacks import Callback

__all__ = ["Stopper"]


class Stopper(Callback):
    """Raises KeyboardInterrupt between two steps once Ctrl-C was pressed; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.wanted = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C is a wish within; only the main thread can be asked."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        self._stop()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        self._stop()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise SystemExit(130)
        self.wanted = True

    def _stop(self) -> None:
        if self.wanted:
            raise KeyboardInterrupt
