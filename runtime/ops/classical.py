"""ai.onnx.ml: linear models and support vector machines.

Everything is computed in float64 and rounded once, to float32, which is what the specification asks for.
"""

from __future__ import annotations

import numpy as np

from ..errors import InvalidGraph, InvalidInput
from ._axes import bounded
from ._compiled import once
from ._scores import both_classes, class_labels, logistic, results, rows, transform
from .registry import op

ML = "ai.onnx.ml"


@once
def _numbers(xp, *attributes):
    """Each of the attributes as a float64 array."""
    return [xp.asarray(np.array(a, np.float64)) for a in attributes]


def _matrix(name, values, height, width):
    """`values` as a matrix of that shape."""
    if values.size != height * width:
        raise InvalidInput(f"{name} has {values.size} elements; expected {height} · {width}, for X's features")
    return values.reshape(height, width)


def _linear(xp, X, coefficients, intercepts, outputs):
    """X · Cᵀ + intercepts, float64 [N, outputs]; no intercepts are zeros."""
    weights, added = _numbers(xp, coefficients, intercepts)
    if added.size not in (0, outputs):
        raise InvalidGraph(f"intercepts has {added.size} elements; expected {outputs}, or none")
    bounded((X.shape[0], outputs), np.float64)
    scores = xp.matmul(X.astype(np.float64), _matrix("coefficients", weights, outputs, X.shape[1]).T)
    return scores + added if added.size else scores


# ---- linear models


@op("LinearRegressor", since=1, domain=ML, differentiable=False)
def linear_regressor(xp, X, *, coefficients=(), intercepts=(), post_transform="NONE", targets=1):
    """X · Cᵀ + intercepts, transformed; float32 [N, targets]. The coefficients of each target are contiguous."""
    if targets < 1:
        raise InvalidGraph(f"targets must be at least 1; found {targets}")
    scores = _linear(xp, rows(xp, X), coefficients, intercepts, targets)
    return transform(xp, scores, post_transform).astype(np.float32)


@op("LinearClassifier", since=1, domain=ML, host=(0,), differentiable=False)
def linear_classifier(
    xp, X, *, classlabels_ints=(), classlabels_strings=(), coefficients, intercepts=(), multi_class=0,
    post_transform="NONE",
):  # fmt: skip
    """The label with the highest score X · Cᵀ + intercepts, and the transformed scores; float32 [N, classes].

    Two classes may share one row of coefficients: then a positive score chooses the second.
    """
    labels, X = class_labels(classlabels_ints, classlabels_strings), rows(np, X)
    one_row = len(labels) == 2 and X.shape[1] and len(coefficients) == X.shape[1]
    scores = _linear(np, X, coefficients, intercepts, 1 if one_row else len(labels))
    if one_row:
        score = scores[:, 0]
        return results(xp, labels, (score > 0).astype(np.int64), both_classes(score, post_transform, True))
    return results(xp, labels, scores.argmax(axis=-1), transform(np, scores, post_transform))


# ---- support vector machines


def _poly(xp, X, V, gamma, coef0, degree):
    return (gamma * xp.matmul(X, V.T) + coef0) ** degree


def _rbf(xp, X, V, gamma, coef0, degree):
    squares = (X * X).sum(axis=1)[:, None] + (V * V).sum(axis=1) - 2 * xp.matmul(X, V.T)
    return xp.exp(-gamma * xp.maximum(squares, 0))


KERNELS = {
    "LINEAR": lambda xp, X, V, *_: xp.matmul(X, V.T),
    "POLY": _poly,
    "RBF": _rbf,
    "SIGMOID": lambda xp, X, V, gamma, coef0, degree: xp.tanh(gamma * xp.matmul(X, V.T) + coef0),
}
"""(X [N, F], support vectors V [S, F], gamma, coef0, degree) → [N, S]: x·v, (γ·x·v + c)^d, exp(−γ·|x − v|²), tanh."""


def _kernel(xp, X, vectors, count, kernel_type, kernel_params):
    """The kernel of every sample with every one of `count` support vectors: float64 [N, count]."""
    if kernel_type not in KERNELS:
        raise InvalidGraph(f"kernel_type {kernel_type!r} is unknown; expected one of {', '.join(KERNELS)}")
    if len(kernel_params) not in (0, 3):
        raise InvalidGraph(f"kernel_params must be gamma, coef0 and degree; found {len(kernel_params)} numbers")
    bounded((X.shape[0], count), np.float64)
    V = _matrix("support_vectors", vectors, count, X.shape[1])
    return KERNELS[kernel_type](xp, X.astype(np.float64), V, *(kernel_params or (0.0, 0.0, 0.0)))


@op("SVMRegressor", since=1, domain=ML, differentiable=False)
def svm_regressor(
    xp, X, *, coefficients=(), kernel_params=(), kernel_type="LINEAR", n_supports=0, one_class=0,
    post_transform="NONE", rho=(), support_vectors=(),
):  # fmt: skip
    """Σ coefficient · kernel(x, support vector) + rho, transformed; or its sign, ±1, for one_class. Float32 [N, 1].

    Without support vectors the coefficients are those of a linear model.
    """
    X = rows(xp, X)
    weights, vectors, added = _numbers(xp, coefficients, support_vectors, rho)
    if added.size != 1:
        raise InvalidGraph(f"rho must be one number; found {added.size}")
    if n_supports < 0:
        raise InvalidGraph(f"n_supports must not be negative; found {n_supports}")
    K = _kernel(xp, X, vectors, n_supports, kernel_type, kernel_params) if n_supports else X.astype(np.float64)
    scores = xp.matmul(K, _matrix("coefficients", weights, 1, K.shape[1]).T) + added
    if one_class:
        return xp.where(scores > 0, 1, -1).astype(np.float32)
    return transform(xp, scores, post_transform).astype(np.float32)


def _duels(X, per_class, coefficients, support_vectors, rho, kernel_type, kernel_params):
    """One decision for each pair of classes i < j: positive speaks for i, else for j; float64 [N, pairs]. And i, j.

    Support vectors are sorted by class. Each has a coefficient for every other class: those of class i have the one
    against j in row j − 1, those of class j the one against i in row i.
    """
    classes, pairs = len(per_class), len(per_class) * (len(per_class) - 1) // 2
    if min(per_class) < 0:
        raise InvalidGraph(f"vectors_per_class must not be negative; found {list(per_class)}")
    weights, vectors, added = _numbers(np, coefficients, support_vectors, rho)
    if len(added) != pairs:
        raise InvalidGraph(f"rho has {len(added)} elements; expected {pairs}, one for each pair of classes")
    bounded((len(X), classes, classes), np.float64)
    K = _kernel(np, X, vectors, sum(per_class), kernel_type, kernel_params)
    if weights.size != (classes - 1) * K.shape[1]:
        raise InvalidGraph(f"there are {weights.size} coefficients; expected {classes - 1} for each support vector")
    weights = weights.reshape(classes - 1, -1)
    ends = np.cumsum(per_class)
    sums = np.stack([K[:, e - n : e] @ weights[:, e - n : e].T for e, n in zip(ends, per_class, strict=True)])
    i, j = np.triu_indices(classes, 1)
    return (sums[i, :, j - 1] + sums[j, :, i]).T + added, i, j


def _probabilities(decisions, i, j, classes, prob_a, prob_b):
    """The probability of each class, [N, classes], from Platt's estimate for each pair, 1 / (1 + exp(a · d + b)).

    Pairs are coupled as by Wu, Lin and Weng, Journal of Machine Learning Research 5 (2004), method 2, with the number
    of rounds and the tolerance of LIBSVM: those are visible in the result.
    """
    a, b = _numbers(np, prob_a, prob_b)
    if len(a) != len(i) or len(b) != len(i):
        raise InvalidGraph(f"prob_a and prob_b have {len(a)} and {len(b)} elements; expected {len(i)}")
    pair = np.clip(logistic(np, -(decisions * a + b)), 1e-7, 1 - 1e-7)
    won = np.zeros((len(decisions), classes, classes))
    won[:, i, j], won[:, j, i] = pair, 1 - pair
    Q = -won * won.swapaxes(1, 2)
    own = np.arange(classes)
    Q[:, own, own] = (won * won).sum(axis=1)
    p = np.full((len(decisions), classes), 1 / classes)
    going = np.arange(len(decisions))
    for _ in range(max(100, classes)):
        Qp = np.matmul(Q[going], p[going, :, None])[..., 0]
        pQp = (p[going] * Qp).sum(axis=1)
        still = np.abs(Qp - pQp[:, None]).max(axis=1) >= 0.005 / classes
        going, Qp, pQp = going[still], Qp[still], pQp[still]
        if not len(going):
            break
        for t in range(classes):
            step = (pQp - Qp[:, t]) / Q[going, t, t]
            pQp = (pQp + step * (step * Q[going, t, t] + 2 * Qp[:, t])) / (1 + step) ** 2
            Qp = (Qp + step[:, None] * Q[going, t]) / (1 + step)[:, None]
            p[going, t] += step
            p[going] /= (1 + step)[:, None]
    return p


@op("SVMClassifier", since=1, domain=ML, host=(0,), differentiable=False)
def svm_classifier(
    xp, X, *, classlabels_ints=(), classlabels_strings=(), coefficients=(), kernel_params=(), kernel_type="LINEAR",
    post_transform="NONE", prob_a=(), prob_b=(), rho=(), support_vectors=(), vectors_per_class=(),
):  # fmt: skip
    """The label that wins most duels between two classes, and scores: the transformed probabilities of all classes

    with prob_a and prob_b; else the decisions of all pairs of classes, for two classes one column each. Without support
    vectors a linear model for each class, as in LinearClassifier, with one rho.
    """
    labels, X = class_labels(classlabels_ints, classlabels_strings), rows(np, X)
    classes = len(labels)
    if not vectors_per_class:
        if not rho:
            raise InvalidGraph("rho must have an element; found none")
        scores = _linear(np, X, coefficients, (), classes) + rho[0]
        return results(xp, labels, scores.argmax(axis=-1), transform(np, scores, post_transform))
    if len(vectors_per_class) != classes or classes < 2:
        raise InvalidGraph(f"vectors_per_class has {len(vectors_per_class)} elements for {classes} labels, at least 2")
    decisions, i, j = _duels(X, vectors_per_class, coefficients, support_vectors, rho, kernel_type, kernel_params)
    votes = np.zeros((len(X), classes), np.int64)
    np.add.at(votes, (np.arange(len(X))[:, None], np.where(decisions > 0, i, j)), 1)
    chosen = votes.argmax(axis=-1)
    if prob_a:
        scores = transform(np, _probabilities(decisions, i, j, classes, prob_a, prob_b), post_transform)
    elif classes == 2:
        scores = both_classes(decisions[:, 0], post_transform, post_transform.startswith("SOFTMAX"))
    else:
        scores = transform(np, decisions, post_transform)
    return results(xp, labels, chosen, scores)
