"""Rows of `runtime/ops/classical.py`, against formulas for one sample at a time."""

from __future__ import annotations

import math

import numpy as np

from ..table import Case, case, ints, real
from .trees import ML, TRANSFORM

N, F = 7, 3
INTS, TEXT = {"classlabels_ints": [7, 5, 9]}, {"classlabels_strings": ["a", "b", "c"]}
TWO = {"classlabels_strings": ["no", "yes"]}
POSTS = tuple(TRANSFORM)


def numbers(count, key="", low=-8, high=9):
    """A list of eighths, which float32 holds exactly."""
    return (ints(count, low=low, high=high, key=key) / 8).tolist()


def _labels(attrs):
    ints_ = attrs.get("classlabels_ints")
    return np.array(ints_, np.int64) if ints_ else np.array(attrs["classlabels_strings"], object)


def _both(s, post, plain):
    """Two columns from the score of the second class; a softmax of one score is left out."""
    if post == "LOGISTIC":
        return np.stack([TRANSFORM[post](-s), TRANSFORM[post](s)], 1)
    if post == "PROBIT":
        return np.stack([-TRANSFORM[post](s), TRANSFORM[post](s)], 1)
    return np.stack([plain(s), s], 1)


def _linear(X, coefficients, intercepts):
    rows = np.array(coefficients).reshape(-1, X.shape[-1])
    added = intercepts or [0.0] * len(rows)
    return np.array([[sum(x * row) + b for row, b in zip(rows, added, strict=True)] for x in X.astype(float)])


def linear_regressor(X, *, coefficients, intercepts=None, post_transform="NONE", targets=1):
    scores = _linear(X, coefficients, intercepts).reshape(len(X), targets)
    return TRANSFORM[post_transform](scores).astype(np.float32)


def linear_classifier(X, *, coefficients, intercepts=None, post_transform="NONE", multi_class=0, **attrs):
    labels, scores = _labels(attrs), _linear(X, coefficients, intercepts)
    if scores.shape[1] == 1:
        s = scores[:, 0]
        return labels[[int(v > 0) for v in s]], _both(s, post_transform, lambda s: 1 - s).astype(np.float32)
    return labels[scores.argmax(1)], TRANSFORM[post_transform](scores).astype(np.float32)


def _kernel(kind, gamma=0.0, coef0=0.0, degree=0.0):
    return {
        "LINEAR": lambda x, v: float(x @ v),
        "POLY": lambda x, v: (gamma * float(x @ v) + coef0) ** degree,
        "RBF": lambda x, v: math.exp(-gamma * float(((x - v) ** 2).sum())),
        "SIGMOID": lambda x, v: math.tanh(gamma * float(x @ v) + coef0),
    }[kind]


def svm_regressor(X, *, coefficients, rho, support_vectors=(), n_supports=0, one_class=0, kernel_type="LINEAR",
                  kernel_params=(), post_transform="NONE"):  # fmt: skip
    kernel = _kernel(kernel_type, *kernel_params)
    vectors = np.array(support_vectors).reshape(n_supports, X.shape[1])
    sums = []
    for x in X.astype(float):
        features = [kernel(x, v) for v in vectors] if n_supports else x
        sums.append([sum(c * f for c, f in zip(coefficients, features, strict=True)) + rho[0]])
    sums = np.array(sums)
    return (np.where(sums > 0, 1, -1) if one_class else TRANSFORM[post_transform](sums)).astype(np.float32)


def _coupled(r):
    """Method 2 of Wu, Lin and Weng for one sample, as LIBSVM stops it."""
    k = len(r)
    Q = [[-r[j][i] * r[i][j] for j in range(k)] for i in range(k)]
    for i in range(k):
        Q[i][i] = sum(r[j][i] ** 2 for j in range(k) if j != i)
    p = [1 / k] * k
    for _ in range(max(100, k)):
        Qp = [sum(q * v for q, v in zip(row, p, strict=True)) for row in Q]
        pQp = sum(v * w for v, w in zip(p, Qp, strict=True))
        if max(abs(v - pQp) for v in Qp) < 0.005 / k:
            break
        for t in range(k):
            change = (pQp - Qp[t]) / Q[t][t]
            p[t] += change
            pQp = (pQp + change * (change * Q[t][t] + 2 * Qp[t])) / (1 + change) ** 2
            for j in range(k):
                Qp[j] = (Qp[j] + change * Q[t][j]) / (1 + change)
                p[j] /= 1 + change
    return p


def svm_classifier(X, *, coefficients, rho, support_vectors=(), vectors_per_class=(), prob_a=(), prob_b=(),
                   kernel_type="LINEAR", kernel_params=(), post_transform="NONE", **attrs):  # fmt: skip
    labels = _labels(attrs)
    k = len(labels)
    if not vectors_per_class:
        scores = _linear(X, coefficients, None) + rho[0]
        return labels[scores.argmax(1)], TRANSFORM[post_transform](scores).astype(np.float32)
    kernel = _kernel(kernel_type, *kernel_params)
    vectors = np.array(support_vectors).reshape(sum(vectors_per_class), -1)
    owner = [c for c, n in enumerate(vectors_per_class) for _ in range(n)]
    weights = np.array(coefficients).reshape(k - 1, -1)
    chosen, decisions, probabilities = [], [], []
    for x in X.astype(float):
        values, votes, row, r, pair = [kernel(x, v) for v in vectors], [0] * k, [], np.zeros((k, k)), 0
        for i in range(k):
            for j in range(i + 1, k):
                d = rho[pair] + sum(
                    value * weights[j - 1 if c == i else i, s]
                    for s, (value, c) in enumerate(zip(values, owner, strict=True))
                    if c in (i, j)
                )
                votes[i if d > 0 else j] += 1
                row.append(d)
                if prob_a:
                    r[i, j] = min(max(1 / (1 + math.exp(prob_a[pair] * d + prob_b[pair])), 1e-7), 1 - 1e-7)
                    r[j, i] = 1 - r[i, j]
                pair += 1
        chosen.append(votes.index(max(votes)))
        decisions.append(row)
        probabilities.append(_coupled(r) if prob_a else [])
    scores = np.array(probabilities if prob_a else decisions)
    if k == 2 and not prob_a:
        plain = (lambda s: 1 - s) if "SOFTMAX" in post_transform else (lambda s: -s)
        return labels[chosen], _both(scores[:, 0], post_transform, plain).astype(np.float32)
    return labels[chosen], TRANSFORM[post_transform](scores).astype(np.float32)


def linear_rows():
    X = real(N, F)
    for post in POSTS:
        low, inputs = (1, real(N, F, low=0.1, high=0.3)) if post == "PROBIT" else (-8, X)
        for targets in (1, 3):
            yield case("LinearRegressor", inputs, domain=ML, opset=1, expect=linear_regressor, targets=targets,
                       coefficients=numbers(F * targets, low=low), intercepts=[0.0625] * targets,
                       post_transform=post, name=f"{post} {targets}")  # fmt: skip
        yield case("LinearClassifier", inputs, domain=ML, opset=1, outputs=2, expect=linear_classifier,
                   coefficients=numbers(F * 3, low=low), intercepts=[0.0625] * 3, post_transform=post,
                   name=post, **TEXT)  # fmt: skip
        yield case("LinearClassifier", inputs, domain=ML, opset=1, outputs=2, expect=linear_classifier,
                   coefficients=numbers(F, low=low), intercepts=[0.0625], post_transform=post,
                   name=f"{post} one row", **TWO)  # fmt: skip
    for dtype in (np.int32, np.int64):
        whole = ints(N, F, low=-3, high=4, dtype=dtype)
        yield case("LinearRegressor", whole, domain=ML, opset=1, expect=linear_regressor, coefficients=numbers(F),
                   name=dtype.__name__)  # fmt: skip
        yield case("LinearClassifier", whole, domain=ML, opset=1, outputs=2, expect=linear_classifier,
                   coefficients=numbers(F * 3), multi_class=1, name=dtype.__name__, **INTS)  # fmt: skip
    yield case("LinearRegressor", real(0, F), domain=ML, opset=1, expect=linear_regressor, coefficients=numbers(F),
               name="no samples")  # fmt: skip
    yield case("LinearRegressor", X, domain=ML, opset=1, coefficients=numbers(F), intercepts=[0.5], dtypes=("float32",),
               name="reference")  # fmt: skip
    yield case("LinearClassifier", X, domain=ML, opset=1, outputs=2, expect=linear_classifier,
               coefficients=numbers(F * 2), classlabels_ints=[3, 4], name="two rows")  # fmt: skip


def svm_rows():
    X, kinds = real(N, F), ("LINEAR", "POLY", "RBF", "SIGMOID")
    for kind in kinds:
        given = {"kernel_type": kind, "kernel_params": [0.25, 0.5, 3.0], "support_vectors": numbers(5 * F, "v")}
        for one_class in (0, 1):
            yield case("SVMRegressor", X, domain=ML, opset=1, expect=svm_regressor, coefficients=numbers(5),
                       n_supports=5, rho=[0.125], one_class=one_class, name=f"{kind} {one_class}", **given)  # fmt: skip
        for platt in ({}, {"prob_a": [-1.25, -0.5, -2.0], "prob_b": [0.25, -0.125, 0.5]}):
            yield case("SVMClassifier", X, domain=ML, opset=1, outputs=2, expect=svm_classifier, rho=numbers(3, "r"),
                       coefficients=numbers(2 * 5), vectors_per_class=[2, 1, 2], name=f"{kind} {len(platt)}",
                       **given, **platt, **TEXT)  # fmt: skip
    vectors = {"support_vectors": numbers(5 * F, "v"), "coefficients": numbers(5, "two"), "rho": [0.125]}
    for post in POSTS:
        yield case("SVMClassifier", X, domain=ML, opset=1, outputs=2, expect=svm_classifier, post_transform=post,
                   vectors_per_class=[2, 3], prob_a=[-1.25], prob_b=[0.25], name=f"{post} of probabilities", **vectors,
                   **TWO)  # fmt: skip
        if post != "PROBIT":
            yield case("SVMClassifier", X, domain=ML, opset=1, outputs=2, expect=svm_classifier, post_transform=post,
                       vectors_per_class=[2, 3], name=f"{post} of two", **vectors, **TWO)  # fmt: skip
            yield case("SVMClassifier", X, domain=ML, opset=1, outputs=2, expect=svm_classifier, post_transform=post,
                       coefficients=numbers(F * 3), rho=[0.125], name=f"{post} linear", **INTS)  # fmt: skip
    yield case("SVMRegressor", X, domain=ML, opset=1, expect=svm_regressor, coefficients=numbers(F), rho=[0.125],
               post_transform="LOGISTIC", name="linear")  # fmt: skip
    yield case("SVMClassifier", ints(N, F, low=-2, high=3), domain=ML, opset=1, outputs=2, expect=svm_classifier,
               coefficients=numbers(3 * 8), vectors_per_class=[2, 0, 4, 2], rho=numbers(6), name="four classes",
               support_vectors=numbers(8 * F, "v"), classlabels_ints=[1, 2, 3, 4])  # fmt: skip
    yield case("SVMRegressor", ints(N, F, low=-2, high=3, dtype=np.int32), domain=ML, opset=1, expect=svm_regressor,
               coefficients=numbers(5), n_supports=5, rho=[0.125], support_vectors=numbers(5 * F, "v"),
               name="integers")  # fmt: skip


CASES: list[Case] = [*linear_rows(), *svm_rows()]
