"""The network of the lecture's CNN-XGBoost slide: several labels per text, one ONNX file, the same in both runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from striate import models
from striate.runtime import InferenceSession
from striate.trainer.boosting import boost

LABELS, WORDS, LENGTH = 3, 60, 12


def texts(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers, and labels: label i is there if two neighbouring words are 10·(i + 1) and 10·(i + 1) + 1."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(2, WORDS, (count, LENGTH))
    labels = rng.integers(0, 2, (count, LABELS))
    for i in range(LABELS):
        first = 10 * (i + 1)
        tokens[tokens == first + 1] = 2
        rows = np.flatnonzero(labels[:, i])
        at = rng.integers(0, LENGTH // LABELS - 1, len(rows)) + i * (LENGTH // LABELS)
        tokens[rows, at], tokens[rows, at + 1] = first, first + 1
    return tokens, labels


def test_one_file_for_the_network_and_its_trees(tmp_path: Path) -> None:
    model = models.get(
        "cnn_xgboost", num_classes=LABELS, multi_label=True, vocabulary_size=WORDS, length=LENGTH, embedding_dim=16,
        filters=16, kernel_sizes=(2, 3),
    )  # fmt: skip
    x, y = texts(600, 0)
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y.astype(np.float32), epochs=8, verbose=0)
    boosted = boost(model, x, y, rounds=20, max_depth=3)
    path = boosted.export(tmp_path / "cnn_xgboost.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("TreeEnsemble") == 1
    assert operators.count("Conv") == 2
    unseen, truth = texts(400, 1)
    ours = InferenceSession(str(path)).run(["labels", "probabilities"], {"words": unseen})
    theirs = onnxruntime.InferenceSession(str(path)).run(["labels", "probabilities"], {"words": unseen})
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-5, rtol=0)
    assert (ours[0] == truth).mean() > 0.95
