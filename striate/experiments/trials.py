"""Networks trained from several seeds on the same data, and what comes of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.files import atomic_write
from ..trainer import Model, callbacks, get_seed, optimizers, schedules, set_seed
from ..trainer.data import Dataset

__all__ = ["Result", "Tell", "Trial", "percent", "quiet", "run_trials", "write_csv"]

Tell = Callable[[int, int], None]
"""Called with (how much is done, of how much)."""


def quiet(done: int, total: int) -> None:
    """A `Tell` that tells nobody."""


@dataclass(frozen=True)
class Trial:
    """A network to train, and the data to train and to test it on.

    Args:
        name: unique among the trials of an experiment.
        make: a new network; its first weights come from the global seed.
    """

    name: str
    make: Callable[[], Model]
    train: Dataset
    test: Dataset


@dataclass(frozen=True)
class Result:
    """The accuracies of a trial, one per seed, as shares of 1.

    `train` and `test` are measured after the last epoch.
    """

    name: str
    parameters: int
    train: tuple[float, ...]
    test: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean test accuracy."""
        return float(np.mean(self.test))

    @property
    def spread(self) -> float:
        """Standard deviation of the test accuracies over the seeds, 0 for a single one."""
        return float(np.std(self.test, ddof=1)) if len(self.test) > 1 else 0.0

    @property
    def train_mean(self) -> float:
        """Mean training accuracy."""
        return float(np.mean(self.train))

    @property
    def gap(self) -> float:
        """How much better the network does on what it was trained on than on the test data."""
        return self.train_mean - self.mean


def run_trials(
    trials: Sequence[Trial],
    *,
    seeds: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    tell: Tell = quiet,
) -> list[Result]:
    """Trains each network from seeds 0, 1, … with Adam, cross-entropy and a rate that falls to 0 along a cosine.

    The same arguments give the same results. The global seed is left as it was.
    """
    before, results = get_seed(), []
    total = len(trials) * seeds * epochs
    try:
        for number, trial in enumerate(trials):
            found = []
            for seed in range(seeds):
                done = (number * seeds + seed) * epochs
                counter = callbacks.LambdaCallback(
                    on_epoch_end=lambda epoch, logs, done=done: tell(done + epoch + 1, total)
                )
                set_seed(seed)
                steps = -(-len(trial.train) // batch_size) * epochs
                model = trial.make()
                model.compile(
                    optimizers.Adam(schedules.CosineDecay(learning_rate, steps)),
                    "sparse_categorical_crossentropy",
                    ["accuracy"],
                    seed=seed,
                )
                model.fit(
                    trial.train.x,
                    trial.train.y,
                    batch_size=batch_size,
                    epochs=epochs,
                    verbose=0,
                    callbacks=counter,
                )
                found.append((_accuracy(model, trial.train), _accuracy(model, trial.test)))
            train, test = zip(*found, strict=True)
            results.append(Result(trial.name, model.count_params(), train, test))
    finally:
        set_seed(before)
    return results


def _accuracy(model: Model, data: Dataset) -> float:
    return float((model.predict(data.x, batch_size=256).argmax(1) == data.y).mean())


def percent(mean: float, spread: float | None = None) -> str:
    """`97.3` or `97.3 ± 0.4` from shares of 1."""
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per row under the first row's names; floats with six digits; whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    atomic_write(path, text.getvalue().encode())
