"""Trees on a network's features: XGBoost's own numbers, in one ONNX file that onnxruntime reads too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import xgboost

from striate.runtime import InferenceSession
from striate.runtime.errors import InvalidInput, NotDifferentiable
from striate.trainer import Model, Sequential, layers
from striate.trainer.boosting import boost, trees_of

rng = np.random.default_rng(0)
X = rng.standard_normal((300, 8, 8, 1), np.float32)
MEANS = X.mean((1, 2, 3))[:, None] + 0.3 * X[:, :3, 0, 0]
CLASSES = np.digitize(MEANS[:, 0], np.quantile(MEANS[:, 0], (0.3, 0.6)))
LABELS = (np.median(MEANS, 0) < MEANS).astype(np.int64)


def network(units: int = 3) -> Model:
    return Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(12, activation="tanh", name="features"),
            layers.Dense(units, activation="softmax"),
        ],
        seed=1,
    )


CASES = {"classes": CLASSES, "labels": LABELS}


@pytest.mark.parametrize("name", CASES)
def test_one_file_in_both_runtimes(name: str, tmp_path: Path) -> None:
    model, y = network(), CASES[name]
    boosted = boost(model, X, y, rounds=30)
    path = boosted.export(tmp_path / "boosted.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    assert "TreeEnsemble" in {node.op_type for node in onnx.load(path).graph.node}
    expected = boosted.predict(X)
    feeds = {InferenceSession(str(path)).get_inputs()[0].name: X}
    ours = InferenceSession(str(path)).run(["probabilities", "labels"], feeds)
    theirs = onnxruntime.InferenceSession(str(path)).run(["probabilities", "labels"], feeds)
    for found in (ours, theirs):
        np.testing.assert_allclose(found[0], expected[0], atol=1e-5, rtol=0)
        np.testing.assert_array_equal(found[1], expected[1])
        assert found[1].dtype == np.int64
        assert found[1].shape == y.shape
    assert (expected[1] == y).mean() > 0.95
    np.testing.assert_array_equal(
        expected[1], expected[0].argmax(1) if y.ndim == 1 else (expected[0] >= 0.5).astype(np.int64)
    )


@pytest.mark.parametrize("name", CASES)
def test_the_trees_are_xgboosts(name: str) -> None:
    y = CASES[name]
    features = rng.standard_normal((300, 5)).astype(np.float32)
    many = y.ndim == 2
    objective = {"objective": "binary:logistic"} if many else {"objective": "multi:softprob", "num_class": 3}
    booster = xgboost.train({**objective, "max_depth": 5, "seed": 3}, xgboost.DMatrix(features, label=y), 20)
    x = layers.Input((5,))
    made = Model(x, layers.TreeEnsemble(**trees_of(booster))(x))
    unseen = rng.standard_normal((1000, 5)).astype(np.float32)
    unseen[:50] = features[:50]  # on the thresholds themselves
    expected = booster.predict(xgboost.DMatrix(unseen), output_margin=True)
    np.testing.assert_allclose(made.predict(unseen), expected, atol=1e-5, rtol=1e-6)


def test_a_tree_of_one_leaf_and_many_outputs() -> None:
    lone = {"target": 1, "left": [-1], "right": [-1], "feature": [0], "value": [0.25]}
    split = {"target": 0, "left": [1, -1, -1], "right": [2, -1, -1], "feature": [1, 0, 0], "value": [0.5, -1.0, 2.0]}
    x = layers.Input((2,))
    made = Model(x, layers.TreeEnsemble(2, [lone, split, lone], [10.0, 20.0], 2)(x))
    found = made.predict(np.array([[0, 0.4], [0, 0.5], [9, 0.6]], np.float32))
    np.testing.assert_array_equal(found, [[9, 20.5], [12, 20.5], [12, 20.5]])


def test_saved_and_loaded(tmp_path: Path) -> None:
    boosted = boost(network(), X, CLASSES, rounds=5)
    boosted.save(tmp_path / "b.striate")
    again = Model.load(tmp_path / "b.striate")
    for a, b in zip(boosted.predict(X), again.predict(X), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.training_facts["boosting"]["rounds"] == 5


def test_features_of_any_layer_and_the_same_seed() -> None:
    model = network()
    pooled = boost(model, X, CLASSES, rounds=3, layer="max_pooling2d")
    assert pooled.get_layer("trees").features == 3 * 3 * 4
    dense = boost(model, X, CLASSES, rounds=3)
    assert dense.get_layer("trees").features == 12
    assert json.dumps(boost(model, X, CLASSES, rounds=3).get_config()) == json.dumps(dense.get_config())


def test_trees_have_no_gradient() -> None:
    boosted = boost(network(), X, CLASSES, rounds=2)
    probabilities = Model(boosted.inputs, boosted.outputs[0])
    probabilities.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(NotDifferentiable, match="TreeEnsemble"):
        probabilities.fit(X, CLASSES, verbose=0)


LEAF = {"target": 0, "left": [-1], "right": [-1], "feature": [0], "value": [1.0]}
BAD: dict[str, tuple[Any, str]] = {
    "base": (lambda: layers.TreeEnsemble(2, [LEAF], [0.0], 3), "base has 1 numbers; expected one for each of 2"),
    "target": (lambda: layers.TreeEnsemble(1, [LEAF | {"target": 1}], [0.0], 3), "tree 0 has the target 1"),
    "lengths": (lambda: layers.TreeEnsemble(1, [LEAF | {"value": []}], [0.0], 3), "lists of equal length"),
    "loop": (
        lambda: layers.TreeEnsemble(
            1, [{"target": 0, "left": [1, 0], "right": [1, 0], "feature": [0, 0], "value": [0.0, 0.0]}], [0.0], 3
        ),
        "children come later, each once",
    ),
    "feature": (
        lambda: layers.TreeEnsemble(
            1,
            [{"target": 0, "left": [1, -1, -1], "right": [2, -1, -1], "feature": [3] * 3, "value": [0.0] * 3}],
            [0],
            3,
        ),
        "looks at feature 3; there are 3",
    ),
    "shape": (lambda: layers.TreeEnsemble(1, [LEAF], [0.0], 3)(layers.Input((4,))), r"expected \(batch, 3\)"),
    "threshold": (lambda: layers.Decision(1.5), "threshold 1.5 does not fit"),
    "y": (lambda: boost(network(), X, MEANS), "expected numbers of classes"),
    "length": (lambda: boost(network(), X[:9], CLASSES), "x has 9 samples and y 300"),
    "layer": (lambda: boost(network(), X, CLASSES, layer="no"), "has no layer 'no'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_named(name: str) -> None:
    make, text = BAD[name]
    with pytest.raises(InvalidInput, match=text):
        make()
