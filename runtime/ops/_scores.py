"""ai.onnx.ml: from scores to results - the transforms of classifiers and regressors, and labels."""

from __future__ import annotations

import numpy as np

from ..errors import InvalidGraph, InvalidInput

_WINITZKI = 0.147


def probit(xp, p):
    """√2 · erf⁻¹(2p − 1), the x below which the standard normal distribution has probability p, within 0.3 %.

    Winitzki's approximation of erf⁻¹ is what onnxruntime and the onnx reference mean by this transform. NaN outside
    [0, 1].
    """
    log = xp.log(4 * p * (1 - p))
    v = 2 / (np.pi * _WINITZKI) + log / 2
    square = xp.sqrt(v * v - log / _WINITZKI) - v
    return xp.copysign(xp.sqrt(2 * xp.where(xp.isinf(log), np.inf, square)), p - 0.5)


def logistic(xp, scores):
    """1 / (1 + exp(−s)); where exp(−s) overflows the result is 0, as it should be."""
    return 1 / (1 + xp.exp(-scores))


def softmax(xp, scores):
    """exp(s) / Σ exp(s) over the last axis."""
    powers = xp.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _softmax_zero(xp, scores):
    """The softmax of the scores that are not zero; those stay zero."""
    powers = xp.exp(scores - scores.max(axis=-1, keepdims=True))
    powers = xp.where(xp.absolute(scores) > 1e-7, powers, 0)
    return powers / xp.maximum(powers.sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny)


TRANSFORMS = {
    "NONE": lambda xp, scores: scores,
    "SOFTMAX": softmax,
    "LOGISTIC": logistic,
    "SOFTMAX_ZERO": _softmax_zero,
    "PROBIT": probit,
}


def transform(xp, scores, post_transform):
    """`scores`, float64 [N, K], after the transform of that name.

    Raises:
        InvalidGraph: if there is none of that name.
    """
    if post_transform not in TRANSFORMS:
        raise InvalidGraph(f"post_transform {post_transform!r} is unknown; expected one of {', '.join(TRANSFORMS)}")
    return TRANSFORMS[post_transform](xp, scores)


def both_classes(scores, post_transform, probability):
    """The scores [N, 2] of two classes from that of the second, [N], which may be its probability; host arrays.

    A softmax of one score says nothing: as in onnxruntime it is left out.
    """
    if post_transform in ("LOGISTIC", "PROBIT"):
        second = transform(np, scores, post_transform)
        first = logistic(np, -scores) if post_transform == "LOGISTIC" else -second
    else:
        transform(np, scores[:, None], post_transform)
        first, second = 1 - scores if probability else -scores, scores
    return np.stack([first, second], axis=-1)


def class_labels(ints, strings):
    """The labels of all classes, a host array of int64 or text.

    Raises:
        InvalidGraph: unless one of the two attributes, and only one, has labels.
    """
    if bool(ints) == bool(strings):
        raise InvalidGraph("exactly one of the attributes for integer and for text labels must have elements")
    return np.array(ints, np.int64) if ints else np.array(strings, object)


def results(xp, labels, chosen, scores):
    """(Y, Z): the chosen labels and the scores in float32, on the device where it can hold them."""
    Y = labels[chosen]
    return Y if Y.dtype == object else xp.asarray(Y), xp.asarray(scores.astype(np.float32))


def rows(xp, X):
    """X as a matrix with one row for each sample; a vector is one sample."""
    if X.ndim not in (1, 2):
        raise InvalidInput(f"X has shape {list(X.shape)}; expected [N, features] or [features]")
    return X.reshape(1, -1) if X.ndim == 1 else X
