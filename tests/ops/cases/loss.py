"""Cross-entropies: reductions, weights, ignored labels, further dimensions."""

from __future__ import annotations

import numpy as np

from ..table import case, ints, real

N, C = 4, 3
LABELS = ints(N, high=C)
IMAGE_LABELS = ints(2, 2, 3, high=C)
SOME_IGNORED = np.array([2, -1, 0, -1])
WEIGHTS = real(C, low=0.5, high=2.0)


def negative_log_likelihood(log_prob, labels, weights=None, *, ignore_index=None, reduction="mean"):
    """−weights[label] · log_prob[label], ignored labels counting nothing."""
    counted = np.ones(labels.shape, bool) if ignore_index is None else labels != ignore_index
    safe = np.where(counted, labels, 0)
    w = (np.ones(log_prob.shape[1]) if weights is None else weights)[safe] * counted
    loss = -w * np.moveaxis(log_prob, 1, -1)[(*np.indices(safe.shape), safe)]
    total = {"none": loss, "sum": loss.sum(), "mean": loss.sum() / w.sum()}[reduction]
    return np.asarray(total, log_prob.dtype)


def cross_entropy(scores, labels, weights=None, **attrs):
    """(loss, log-probabilities)"""
    log_prob = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return negative_log_likelihood(log_prob, labels, weights, **attrs), log_prob


def loss_alone(*inputs, **attrs):
    """The first output."""
    return cross_entropy(*inputs, **attrs)[0]


SCE, NLL = "SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"
OPERATORS = [(SCE, loss_alone), (NLL, negative_log_likelihood)]

SWITCHES = [
    ("mean", (real(N, C), LABELS), {}),
    ("sum", (real(N, C), LABELS), {"reduction": "sum"}),
    ("none", (real(N, C), LABELS), {"reduction": "none"}),
    ("int32", (real(N, C), LABELS.astype(np.int32)), {}),
    ("weights", (real(N, C), LABELS, WEIGHTS), {}),
    ("weights-sum", (real(N, C), LABELS, WEIGHTS), {"reduction": "sum"}),
    ("weights-none", (real(N, C), LABELS, WEIGHTS), {"reduction": "none"}),
    ("ignore", (real(N, C), SOME_IGNORED), {"ignore_index": -1}),
    ("ignore-class", (real(N, C), LABELS), {"ignore_index": 0, "reduction": "sum"}),
    ("ignore-weights", (real(N, C), SOME_IGNORED, WEIGHTS), {"ignore_index": -1}),
    ("ignore-weights-none", (real(N, C), SOME_IGNORED, WEIGHTS), {"ignore_index": -1, "reduction": "none"}),
    ("images", (real(2, C, 2, 3), IMAGE_LABELS, WEIGHTS), {}),
    ("images-none", (real(2, C, 2, 3), IMAGE_LABELS), {"reduction": "none"}),
]

CASES = [
    *(
        case(op, *inputs, grad=(0, 2) if len(inputs) > 2 else (0,), expect=expect, name=name, **attrs)
        for op, expect in OPERATORS
        for name, inputs, attrs in SWITCHES
    ),
    case(SCE, real(N, C), LABELS, opset=12, expect=loss_alone),
    case(NLL, real(N, C), LABELS, opset=12, expect=negative_log_likelihood),
    *(
        case(op, real(N, C), LABELS, WEIGHTS, opset=22, dtypes=("float16", "bfloat16"), expect=expect, name="half")
        for op, expect in OPERATORS
    ),
    case(NLL, real(N, C), LABELS, opset=22, expect=negative_log_likelihood),
    case(SCE, real(N, C), LABELS, outputs=2, grad=(0,), expect=cross_entropy, name="log-probabilities"),
    case(
        SCE, real(2, C, 2, 3), IMAGE_LABELS, outputs=2, grad=(0,), expect=cross_entropy, name="images-log-probabilities"
    ),
    case(
        SCE,
        np.array([[1000.0, 0.0, -1000.0]]),
        np.array([0]),
        outputs=2,
        expect=lambda x, y: (np.zeros((), x.dtype), x - 1000),
        name="large-scores",
    ),
]
