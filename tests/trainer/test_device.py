"""Training on a device's arrays gives the bits of the CPU: on the strict double, and on CuPy where there is a GPU."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime import executor
from striate.runtime.engines import arrays
from striate.trainer import Input, Sequential, layers, loop

from ..ops.strict import strict

X = np.random.default_rng(0).random((40, 12, 12, 1), np.float32)
Y = np.arange(40) % 10


def trained(device: str) -> Sequential:
    """A network with what is special in training: running statistics, masks, optimizer state, a smaller last batch."""
    model = Sequential(
        [
            Input((12, 12, 1)),
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ],
        seed=1,
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], device=device)
    model.fit(X, Y, batch_size=16, epochs=3, validation_data=(X, Y), verbose=0)
    return model


def test_the_strict_double_trains_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    double = arrays.ArraysEngine(strict, "cuda")
    for module in (executor, loop):
        monkeypatch.setattr(module, "engine", lambda device: double if device == "cuda" else arrays.engine(device))
    ours, theirs = trained("cuda"), trained("cpu")
    assert ours.history is not None
    assert theirs.history is not None
    assert ours.history.history == theirs.history.history
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.gpu
@pytest.mark.skipif(not arrays.cuda_available(), reason="no CUDA device")
def test_a_gpu_trains_to_nearly_the_same() -> None:
    ours, theirs = trained("cuda"), trained("cpu")
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-3, atol=1e-4)
