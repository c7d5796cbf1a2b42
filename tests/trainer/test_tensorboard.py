"""TensorBoard's files hold what was logged, read back record by record."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from striate.runtime.errors import InvalidInput
from striate.trainer import Sequential, layers
from striate.trainer.tensorboard import TensorBoard

X = np.random.default_rng(0).standard_normal((40, 3), np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def events(folder: Path) -> Iterator[Any]:
    """TFRecords: length, its checksum, the message, its checksum."""
    for file in sorted(folder.glob("events.*")):
        content, at = file.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            yield Event.FromString(content[at + 12 : at + 12 + length])
            at += length + 16


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def fit(**options: Any) -> Any:
    model = Sequential([layers.Dense(2, activation="softmax", input_shape=(3,))], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    return model.fit(
        X, Y, batch_size=10, epochs=2, validation_data=(X, Y), verbose=0, callbacks=[TensorBoard(**options)]
    )


def test_epochs_steps_and_histograms(tmp_path: Path) -> None:
    history = fit(log_dir=tmp_path, histogram_freq=2, update_freq=3).history
    train, validation = scalars(tmp_path / "train"), scalars(tmp_path / "validation")
    np.testing.assert_allclose([v for _, v in train["epoch_loss"]], history["loss"], rtol=1e-6)
    np.testing.assert_allclose([v for _, v in validation["epoch_accuracy"]], history["val_accuracy"], rtol=1e-6)
    assert [step for step, _ in train["epoch_loss"]] == [0, 1]
    assert [step for step, _ in train["batch_loss"]] == [3, 6]
    assert "batch_size" not in train
    kinds = [v.tag for e in events(tmp_path / "train") for v in e.summary.value if v.HasField("histo")]
    assert sorted(kinds) == ["dense/bias", "dense/kernel"]


def test_epochs_alone_by_default(tmp_path: Path) -> None:
    fit(log_dir=tmp_path)
    assert not [tag for tag in scalars(tmp_path / "train") if tag.startswith("batch_")]


@pytest.mark.parametrize("options", [{"update_freq": 0}, {"update_freq": "batch"}, {"histogram_freq": -1}])
def test_arguments_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        TensorBoard(**options)
