"""What happens between steps and epochs, under Keras's names: progress, stopping, checkpoints, logs, learning rates."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput
from ..runtime.files import atomic_write

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from .model import Model

Logs = Mapping[str, float]


class Callback:
    """Base: override what you need. `self.params` has epochs, steps, samples and verbose."""

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs) -> None: ...

    def on_train_end(self, logs: Logs) -> None: ...

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None: ...

    def on_epoch_end(self, epoch: int, logs: Logs) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs) -> None: ...

    def on_train_batch_end(self, batch: int, logs: Logs) -> None: ...


class CallbackList:
    """Calls every callback in order."""

    def __init__(self, callbacks: Iterable[Callback], model: Model, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def call(self, event: str, *args: Any) -> None:
        """`call("on_epoch_end", epoch, logs)`"""
        for callback in self.callbacks:
            getattr(callback, event)(*args)


class History(Callback):
    """What `fit` returns: `history["val_accuracy"]` has one number per epoch; `epoch` the epochs' numbers."""

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))


class Progress(Callback):
    """One line per epoch: a bar with steps, loss and metrics, images per second and the time left.

    Without a terminal each epoch is one plain line, printed when it ends.
    """

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._began = 0.0

    def on_train_begin(self, logs: Logs) -> None:
        self._on_terminal = sys.stdout.isatty()

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        self._began = time.perf_counter()
        self._seen = 0
        if not self._on_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        label, steps = self._label(epoch), self.params["steps"]
        self._bar = RichProgress(
            TextColumn("{task.description}", table_column=Column(min_width=len(label), no_wrap=True)),
            BarColumn(bar_width=12, table_column=Column(min_width=12)),
            MofNCompleteColumn(table_column=Column(min_width=2 * len(str(steps)) + 1, no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(min_width=5, no_wrap=True)),
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True)),
            transient=True,
        )
        self._task = self._bar.add_task(label, total=steps, text="")
        self._bar.start()

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        self._seen += int(logs["size"])
        if self._bar is not None:
            self._bar.update(self._task, completed=batch + 1, text=self._text(logs))

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        print(f"{self._label(epoch)}  {time.perf_counter() - self._began:5.1f} s  {self._text(logs)}", flush=True)

    def on_train_end(self, logs: Logs) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _label(self, epoch: int) -> str:
        width = len(str(self.params["epochs"]))
        return f"Epoch {epoch + 1:{width}d}/{self.params['epochs']}"

    def _text(self, logs: Logs) -> str:
        speed = self._seen / max(time.perf_counter() - self._began, 1e-9)
        parts = [f"{name} {_short(value)}" for name, value in logs.items() if name not in ("size", "learning_rate")]
        return "  ".join([*parts, f"{speed:,.0f} images/s"])


def _short(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.3g}"


class _Monitor(Callback):
    """Watches one logged number and knows which of two values is better."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise InvalidInput(f"mode is {mode!r}; expected 'auto', 'min' or 'max'")
        upwards = mode == "max" or (mode == "auto" and any(k in monitor for k in ("acc", "precision", "recall", "auc")))
        self.monitor = monitor
        self._sign = 1.0 if upwards else -1.0
        self._min_delta = abs(min_delta)
        self.forget()

    def forget(self) -> None:
        """Any number beats the best from now on."""
        self.best = -self._sign * math.inf

    def current(self, logs: Logs) -> float:
        """The watched number.

        Raises:
            InvalidInput: if nothing of that name is logged.
        """
        if self.monitor not in logs:
            names = ", ".join(n for n in logs if n != "size")
            raise InvalidInput(
                f"{type(self).__name__} watches {self.monitor!r}, which is not logged; there are: {names}"
            )
        return float(logs[self.monitor])

    def improves(self, value: float) -> bool:
        """Whether `value` beats the best by more than min_delta."""
        return self._sign * (value - self.best) > self._min_delta


class EarlyStopping(_Monitor):
    """Stops when `monitor` has not improved by `min_delta` for `patience` epochs; may restore the best weights."""

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.stopped_epoch: int | None = None

    def on_train_begin(self, logs: Logs) -> None:
        self.forget()
        self.stopped_epoch = None
        self._waited = 0
        self._weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self.current(logs)
        if epoch < self.start_from_epoch:
            return
        if self.improves(value):
            self.best, self._waited = value, 0
            self._weights = self.model.get_weights() if self.restore_best_weights else None
            return
        self._waited += 1
        if self._waited > self.patience or (self.patience and self._waited == self.patience):
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs) -> None:
        if self._weights is not None:
            self.model.set_weights(self._weights)


class ModelCheckpoint(_Monitor):
    """Saves the model after each epoch, or only after those that improve `monitor`.

    `filepath` may name the epoch and anything logged: `"run/{epoch:02d}-{val_loss:.3f}.striate"` (epochs from 1).
    """

    def __init__(
        self, filepath: str | Path, monitor: str = "val_loss", save_best_only: bool = False, mode: str = "auto"
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = str(filepath)
        self.save_best_only = save_best_only

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only:
            value = self.current(logs)
            if not self.improves(value):
                return
            self.best = value
        try:
            path = Path(self.filepath.format(epoch=epoch + 1, **logs))
        except KeyError as missing:
            raise InvalidInput(f"checkpoint path {self.filepath!r} names {missing}, which is not logged") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        self.model.save(path)


class CSVLogger(Callback):
    """One row per epoch. The file is whole after every epoch; `append` continues one that exists."""

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        self.path = Path(filename)
        self.separator = separator
        self._text = self.path.read_text() if append and self.path.exists() else ""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        rows = io.StringIO()
        writer = csv.writer(rows, delimiter=self.separator, lineterminator="\n")
        if not self._text:
            writer.writerow(["epoch", *logs])
        writer.writerow([epoch, *logs.values()])
        self._text += rows.getvalue()
        atomic_write(self.path, self._text.encode())


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of every epoch to `schedule(epoch, learning_rate)`."""

    def __init__(self, schedule: Callable[..., float]) -> None:
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        optimizer.learning_rate = float(self.schedule(epoch, optimizer.rate(self.model.step)))


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by `factor` when `monitor` has not improved for `patience` epochs."""

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr

    def on_train_begin(self, logs: Logs) -> None:
        self.forget()
        self._waited = self._resting = 0

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self.current(logs)
        self._resting = max(0, self._resting - 1)
        if self.improves(value):
            self.best, self._waited = value, 0
            return
        self._waited += not self._resting
        if not self._resting and self._waited >= self.patience:
            optimizer = self.model.optimizer
            optimizer.learning_rate = max(optimizer.rate(self.model.step) * self.factor, self.min_lr)
            self._waited, self._resting = 0, self.cooldown


class LambdaCallback(Callback):
    """A callback out of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: …)`."""

    def __init__(self, **functions: Callable[..., None]) -> None:
        for event, function in functions.items():
            if not hasattr(Callback, event):
                raise InvalidInput(f"{event!r} is not an event; expected one of on_train_begin, on_epoch_end, …")
            setattr(self, event, function)
