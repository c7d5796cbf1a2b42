"""Curves and histograms for TensorBoard, under Keras's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runtime.errors import InvalidInput, MissingDependency
from .callbacks import Callback, Logs

__all__ = ["TensorBoard"]

HIDDEN = ("size",)
"""What is logged for callbacks alone."""


class TensorBoard(Callback):
    """Writes event files: `tensorboard --logdir logs` shows them, while the model trains, too.

    As with Keras what is measured on training data goes to `log_dir/train`, on validation data to
    `log_dir/validation`: one curve of each in the same picture. Names are `epoch_loss`, `epoch_accuracy`,
    `epoch_learning_rate`, …, and `batch_loss`, … for steps.

    Args:
        log_dir: is made if need be; a run adds to what is there.
        histogram_freq: every so many epochs the distribution of each weight is written; 0: never.
        update_freq: `epoch`; or a number of steps, after which the running loss and metrics are written as well.

    Raises:
        InvalidInput: arguments that do not fit.
        MissingDependency: when training begins, if tensorboardX is not installed.
    """

    def __init__(self, log_dir: str | Path = "logs", histogram_freq: int = 0, update_freq: int | str = "epoch") -> None:
        if update_freq != "epoch" and not (isinstance(update_freq, int) and update_freq > 0):
            raise InvalidInput(f"update_freq is {update_freq!r}; expected 'epoch' or a number of steps, at least 1")
        if not isinstance(histogram_freq, int) or histogram_freq < 0:
            raise InvalidInput(f"histogram_freq is {histogram_freq!r}; expected a number of epochs, 0 for never")
        self.log_dir = Path(log_dir)
        self.histogram_freq, self.update_freq = histogram_freq, update_freq
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs: Logs) -> None:
        self._writer("train")

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        step = self.model.step
        if self.update_freq != "epoch" and step % int(self.update_freq) == 0:
            for name, value in logs.items():
                if name not in HIDDEN:
                    self._writer("train").add_scalar(f"batch_{name}", float(value), step)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        for name, value in logs.items():
            if name not in HIDDEN:
                part = "validation" if name.startswith("val_") else "train"
                self._writer(part).add_scalar(f"epoch_{name.removeprefix('val_')}", float(value), epoch)
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            for weight in self.model.parameters:
                self._writer("train").add_histogram(weight.name, weight.numpy(), epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                raise MissingDependency(
                    "the TensorBoard callback needs tensorboardX; install it with pip install 'striate[tensorboard]'"
                ) from None
            self._writers[part] = SummaryWriter(str(self.log_dir / part))
        return self._writers[part]
