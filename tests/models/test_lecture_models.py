"""The lecture's models: counts as in their docstrings and in print, agreement with onnxruntime, and learning."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from striate import models
from striate.models.lecun1989 import lecun1989_zipcode
from striate.models.lenet5_1998 import C3_TABLE, bitmaps
from striate.runtime.errors import InvalidInput
from striate.trainer import Model, optimizers, set_seed

COUNTS = {
    "lecun1989_net1": 2_570,
    "lecun1989_net2": 3_214,
    "lecun1989_net3": 1_226,
    "lecun1989_net3_shared": 206,
    "lecun1989_net4": 1_132,
    "lecun1989_net5": 1_060,
    "lecun1989_zipcode": 9_760,
    "lenet5_1998": 60_000,
    "levi_hassner": 11_415_048,
    "cs231n_convnet": 6_440,
    "text_cnn": 5_990_702,
}
"""Trainable parameters."""
SMALL: dict[str, dict[str, Any]] = {
    "levi_hassner": {"input_shape": (67, 67, 3), "num_classes": 3},
    "text_cnn": {"vocabulary_size": 50, "length": 12, "embedding_dim": 8, "filters": 6},
}
"""Sizes that are tried out in no time; without an entry a model is tried as it is."""
ROUNDING = {"lenet5_1998": 4 * 84 * 2.0**-23}
"""A softmax of distances of about 84, whose last places decide on so much of each probability."""
LEARNS = [name for name in COUNTS if name != "lecun1989_net3_shared"]


def _data(model: Model, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs, and a label for each."""
    rng = np.random.default_rng(3)
    shape = (count, *model.input_shape[1:])
    x = rng.random(shape, np.float32)
    if model.inputs[0].dtype == "int64":
        x = rng.integers(0, 50, shape)
    return x, rng.integers(0, model.output_shape[-1], count)


def _documented(name: str) -> list[tuple[str, list[int | None]]]:
    """The rows of the docstring's table: the layer, then its columns of numbers."""
    text = getattr(models, name).__doc__
    rows = re.findall(r"^\s*\|(.+)\|$", text, re.MULTILINE)[2:]
    cells = [[c.strip() for c in row.split("|")] for row in rows]
    return [(row[0], [int(c.split()[0].replace(",", "")) if c else None for c in row[2:]]) for row in cells]


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    model = models.get(name)
    assert sum(w.size for w in model.trainable_weights) == COUNTS[name]
    assert len(model.output_shape) == 2


@pytest.mark.parametrize("name", [n for n in COUNTS if n != "lecun1989_zipcode"])
def test_docstring_says_what_is_there(name: str) -> None:
    model = models.get(name)
    own = [layer.count_params() for layer in model.layers if layer.count_params()]
    rows = [numbers for _, numbers in _documented(name) if numbers[0]]
    assert [row[0] for row in rows] == own


@pytest.mark.parametrize("name", COUNTS)
def test_connections_of_the_docstring(name: str) -> None:
    """Every unit has a connection for each number it multiplies, and one for its bias."""
    model = models.get(name, sharing=False) if name == "lecun1989_zipcode" else models.get(name)
    found = [_connections(call.layer, call.output.shape) for call in model.calls]
    rows = [numbers[-1] for layer, numbers in _documented(name) if numbers[-1] and layer != "all"]
    assert [n for n in found if n] == rows


def _connections(layer: Any, output: tuple[int, ...]) -> int:
    kind = type(layer).__name__
    if kind in ("Conv1D", "Conv2D", "Conv2DTable"):
        return prod(output[1:-1]) * layer.count_params()
    if kind in ("LocallyConnected2D", "Dense", "UnitBias", "RBF"):
        return layer.count_params()
    if kind == "Subsampling2D":
        return prod(output[1:]) * (2 * 2 + 1)
    return 0


def test_lecun_reports_these_connections() -> None:
    for name, published in (("lecun1989_net4", 2_266), ("lecun1989_net5", 5_194)):
        assert sum(numbers[-1] or 0 for _, numbers in _documented(name)) == published


def test_zip_codes_as_the_lecture_counts_them() -> None:
    counted = {
        (True, "map"): [312, 2_412, 5_790, 310],
        (True, "unit"): [1_068, 2_592, 5_790, 310],
        (False, "unit"): [19_968, 38_592, 5_790, 310],
    }
    for (sharing, bias), expected in counted.items():
        layers = lecun1989_zipcode(sharing=sharing, bias=bias).layers
        own = [layer.count_params() for layer in layers if layer.count_params()]
        if (sharing, bias) == (True, "unit"):
            own = [own[0] + own[1], own[2] + own[3], *own[4:]]
        assert own == expected
    with pytest.raises(InvalidInput, match="expected 'unit' or 'map'"):
        lecun1989_zipcode(bias="none")


def test_c3_sees_what_the_paper_says() -> None:
    assert sorted(map(len, C3_TABLE)) == [3] * 6 + [4] * 9 + [6]
    assert len(set(C3_TABLE)) == 16
    assert sum(5 * 5 * len(row) + 1 for row in C3_TABLE) == 1_516
    assert [sum(m in row for row in C3_TABLE) for m in range(6)] == [10] * 6
    assert 10 * 10 * sum(map(len, C3_TABLE)) * (5 * 5 + 1) == 156_000  # the lecture: a bias for each kernel


def test_bitmaps_tell_the_digits_apart() -> None:
    drawn = bitmaps()
    assert drawn.shape == (10, 12, 7)
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    flat = drawn.reshape(10, 84)
    differ = (flat[:, None] != flat).sum(-1) + 84 * np.eye(10, dtype=int)
    assert differ.min() >= 6


def test_rbf_answers_with_the_nearest_bitmap() -> None:
    model = models.get("lenet5_1998", num_classes=12)
    rbf = model.get_layer("RBF")
    assert not rbf.trainable_weights
    (centres,) = rbf.get_weights()
    assert centres.shape == (12, 84)
    assert np.array_equal(centres[:10], bitmaps().reshape(10, 84))
    assert len({row.tobytes() for row in centres}) == 12


@pytest.mark.parametrize("name", COUNTS)
def test_agrees_with_onnxruntime(name: str, tmp_path: Path) -> None:
    set_seed(5)
    model = models.get(name, **SMALL.get(name, {}))
    x, _ = _data(model, 3)
    ours = model.predict(x)
    model.export(tmp_path / "m.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {session.get_inputs()[0].name: x})
    assert ours.shape == theirs.shape == (3, model.output_shape[-1])
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * float(np.ptp(theirs)), rtol=ROUNDING.get(name, 1e-5))


@pytest.mark.parametrize("name", LEARNS)
def test_a_few_steps_lower_the_loss(name: str) -> None:
    set_seed(1)
    model = models.get(name, **SMALL.get(name, {}))
    x, y = _data(model, 16)
    model.compile(optimizers.Adam(2e-4), "sparse_categorical_crossentropy", seed=1)
    before = model.evaluate(x, y)
    model.fit(x, y, batch_size=16, epochs=5, verbose=0)
    assert model.evaluate(x, y) < before


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 32×32"):
        models.get("lenet5_1998", input_shape=(28, 28, 1))
    with pytest.raises(InvalidInput, match="of at most 4"):
        models.get("text_cnn", length=4)
    with pytest.raises(InvalidInput):
        models.get("lecun1989_net3", input_shape=(8, 8, 1))
    with pytest.raises(InvalidInput, match="does not take these arguments"):
        models.get("cs231n_convnet", colour="red")
