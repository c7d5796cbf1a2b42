"""What the case table cannot say of linear models and support vector machines: errors, coupling, the quantile."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import LimitExceeded, StriateError
from striate.runtime.ops import registry
from striate.runtime.ops._scores import probit
from striate.runtime.ops.classical import _probabilities

X = np.ones((2, 3))
ONE, THREE = (1.0,), (1.0, 2.0, 3.0)
SVC = {
    "classlabels_ints": (1, 2, 3),
    "vectors_per_class": (1, 1, 1),
    "support_vectors": THREE * 3,
    "coefficients": THREE * 2,
    "rho": THREE,
}
SVR = {"coefficients": THREE, "support_vectors": THREE * 3, "n_supports": 3, "rho": ONE}
TWO = {"classlabels_ints": (1, 2), "coefficients": THREE * 2}

WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "targets": ("LinearRegressor", {"coefficients": THREE, "targets": 0}, "targets must be at least 1; found 0"),
    "regression coefficients": ("LinearRegressor", {"coefficients": ONE}, r"has 1 elements; expected 1 · 3"),
    "intercepts": ("LinearRegressor", {"coefficients": THREE, "intercepts": (1.0, 2.0)}, "has 2 elements; expected 1"),
    "transform": ("LinearRegressor", {"coefficients": THREE, "post_transform": "RELU"}, "'RELU' is unknown"),
    "transform of one score": ("LinearClassifier", TWO | {"coefficients": THREE, "post_transform": "?"}, "unknown"),
    "no labels": ("LinearClassifier", {"coefficients": THREE}, "exactly one of the attributes"),
    "both labels": ("LinearClassifier", TWO | {"classlabels_strings": ("a", "b")}, "exactly one of the attributes"),
    "coefficients": ("LinearClassifier", TWO | {"coefficients": ONE}, r"expected 2 · 3"),
    "kernel": ("SVMRegressor", SVR | {"kernel_type": "COSINE"}, "'COSINE' is unknown"),
    "kernel parameters": ("SVMRegressor", SVR | {"kernel_params": ONE}, "gamma, coef0 and degree; found 1"),
    "supports": ("SVMRegressor", SVR | {"n_supports": 4}, r"support_vectors has 9 elements; expected 4 · 3"),
    "negative supports": ("SVMRegressor", SVR | {"n_supports": -1}, "must not be negative"),
    "offset": ("SVMRegressor", SVR | {"rho": ()}, "rho must be one number"),
    "support coefficients": ("SVMRegressor", SVR | {"coefficients": ONE}, "coefficients has 1"),
    "classes": ("SVMClassifier", SVC | {"vectors_per_class": (2, 1)}, "has 2 elements for 3 labels"),
    "negative class": ("SVMClassifier", SVC | {"vectors_per_class": (2, 2, -1)}, "must not be negative"),
    "pairs": ("SVMClassifier", SVC | {"rho": ONE}, "rho has 1 elements; expected 3"),
    "pair coefficients": ("SVMClassifier", SVC | {"coefficients": ONE}, "there are 1 coefficients; expected 2"),
    "vectors": ("SVMClassifier", SVC | {"support_vectors": ONE}, "support_vectors has 1"),
    "platt": ("SVMClassifier", SVC | {"prob_a": THREE, "prob_b": ONE}, "have 3 and 1 elements; expected 3"),
    "linear offset": ("SVMClassifier", {"classlabels_ints": (1, 2), "coefficients": THREE * 2}, "rho must have"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[str, dict[str, Any], str]) -> None:
    name, attributes, message = wrong
    operator = registry.lookup("ai.onnx.ml", name, 1)
    with pytest.raises(StriateError, match=message):
        operator.kernel(np, X, **operator.bind(attributes))


def test_rank() -> None:
    with pytest.raises(StriateError, match="expected \\[N, features\\]"):
        registry.lookup("ai.onnx.ml", "LinearRegressor", 1).kernel(np, np.ones((2, 3, 4)), coefficients=THREE)


def test_a_vector_is_one_sample() -> None:
    (got,) = registry.lookup("ai.onnx.ml", "LinearRegressor", 1).kernel(np, np.ones(3), coefficients=THREE)
    assert got.tolist() == [6.0]


def test_no_features_and_many_targets() -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        registry.lookup("ai.onnx.ml", "LinearRegressor", 1).kernel(np, np.ones((2, 0)), targets=2**50)


def test_pairs_are_counted_before_they_are_listed() -> None:
    labels = 10**7
    attributes = SVC | {"classlabels_ints": tuple(range(labels)), "vectors_per_class": (0,) * labels}
    operator = registry.lookup("ai.onnx.ml", "SVMClassifier", 1)
    with pytest.raises(StriateError, match=f"expected {labels * (labels - 1) // 2}"):
        operator.kernel(np, X, **operator.bind(attributes))


def test_probabilities_agree_with_their_pairs() -> None:
    """Where all pairs follow from one set of probabilities, p_i / (p_i + p_j), that set is found."""
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]])
    i, j = np.triu_indices(3, 1)
    decisions = np.log(p[:, i] / p[:, j])
    got = _probabilities(decisions, i, j, 3, (-1.0,) * 3, (0.0,) * 3)
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(got, p, atol=0.02)


def test_probit() -> None:
    p = np.linspace(0.001, 0.999, 999)
    want = np.array([NormalDist().inv_cdf(v) for v in p])
    np.testing.assert_allclose(probit(np, p), want, rtol=3e-3, atol=1e-12)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(probit(np, np.array([0.0, 1, -1, 2])), [-np.inf, np.inf, np.nan, np.nan])
