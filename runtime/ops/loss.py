"""Losses over class labels: SoftmaxCrossEntropyLoss and NegativeLogLikelihoodLoss.

Both are −w[label] · log p(label), summed up; they differ in who computes the log-probabilities.
"""

from __future__ import annotations

import numpy as np

from ..dtypes import compute_dtype
from ..errors import InvalidInput
from ._precision import narrow, widen
from .registry import op

REDUCTIONS = ("none", "sum", "mean")


@op("NegativeLogLikelihoodLoss", since=12)
def negative_log_likelihood_loss(xp, input, target, weight=None, *, ignore_index=None, reduction="mean"):
    """−weight[target] · input[target] of log-probabilities [N, C, …]; `mean` divides the sum by that of the weights."""
    name = "NegativeLogLikelihoodLoss"
    picked, target, counted = _pick(xp, name, input, target, ignore_index)
    loss = -picked.astype(compute_dtype(input.dtype), copy=False)
    return _reduced(xp, name, loss, target, counted, weight, input.shape[1], reduction).astype(input.dtype, copy=False)


@op("SoftmaxCrossEntropyLoss", since=12)
def softmax_cross_entropy_loss(xp, scores, labels, weights=None, *, ignore_index=None, reduction="mean", n_outputs=1):
    """(loss, log-probabilities) of scores [N, C, …]: −weights[label] · log softmax(scores)[label]."""
    name = "SoftmaxCrossEntropyLoss"
    _check_shapes(name, scores, labels)
    shifted = xp.subtract(scores, scores.max(axis=1, keepdims=True), dtype=compute_dtype(scores.dtype))
    total = xp.exp(shifted).sum(axis=1, keepdims=True)
    xp.log(total, out=total)
    if n_outputs > 1:
        shifted -= total
    picked, labels, counted = _pick(xp, name, shifted, labels, ignore_index)
    loss = -picked if n_outputs > 1 else total[:, 0] - picked
    loss = _reduced(xp, name, loss, labels, counted, weights, scores.shape[1], reduction).astype(
        scores.dtype, copy=False
    )
    return loss if n_outputs == 1 else (loss, shifted.astype(scores.dtype, copy=False))


def _check_shapes(name, x, labels):
    if x.ndim < 2 or labels.shape != (x.shape[0], *x.shape[2:]):
        raise InvalidInput(
            f"{name}: labels of shape {list(labels.shape)} do not fit scores of shape {list(x.shape)}; "
            "expected [N, …] and [N, classes, …]"
        )


def _pick(xp, name, x, labels, ignore_index):
    """(x at the labels, the labels, which of them count or None for all); a label that does not count becomes 0."""
    _check_shapes(name, x, labels)
    counted = None if ignore_index is None else labels != ignore_index
    if counted is not None:
        labels = xp.where(counted, labels, 0)
    _check_labels(xp, name, labels, x.shape[1])
    if x.ndim == 2:
        return x[xp.arange(len(x)), labels], labels, counted
    return xp.take_along_axis(x, xp.expand_dims(labels, 1), axis=1)[:, 0], labels, counted


def _check_labels(xp, name, labels, classes):
    """One reduction finds both kinds of outliers: as an unsigned number a negative label is large."""
    if not labels.size or int(labels.view(f"u{labels.itemsize}").max()) < classes:
        return
    position = int(xp.argmax((labels < 0) | (labels >= classes)))
    place, rest = [], position
    for size in reversed(labels.shape):
        rest, index = divmod(rest, size)
        place.insert(0, index)
    raise InvalidInput(
        f"{name}: label {int(labels.ravel()[position])} at position {place} is out of range; "
        f"there are {classes} classes, expected 0 … {classes - 1}"
    )


def _reduced(xp, name, loss, labels, counted, weights, classes, reduction):
    if reduction not in REDUCTIONS:
        raise InvalidInput(f"{name}: reduction is {reduction!r}; expected one of {', '.join(REDUCTIONS)}")
    applied = None
    if weights is not None:
        if weights.shape != (classes,):
            raise InvalidInput(f"{name}: weights have shape {list(weights.shape)}; expected [{classes}], one per class")
        applied = xp.take(weights.astype(loss.dtype, copy=False), labels)
    if counted is not None:
        applied = counted.astype(loss.dtype) if applied is None else xp.where(counted, applied, 0)
        loss = xp.where(counted, loss, 0)
    loss = loss if applied is None else loss * applied
    if reduction == "none":
        return loss
    total = loss.sum()
    if reduction == "sum":
        return total
    return total / (loss.size if applied is None else applied.sum())


@softmax_cross_entropy_loss.gradient
def _(g, node, dLoss, dLogProb=None):
    """dscores = (exp(log_prob) − onehot) · w · dLoss; w is the label's weight, 0 if ignored, over Σ w for `mean`.

    A gradient d arriving at log_prob adds d − exp(log_prob) · Σ d over classes. dweights: see `_loss_gradient`.
    """
    (log_prob,) = widen(g, node.output(1))
    probabilities = g.Exp(log_prob)
    terms, d_weights = [], None
    if dLoss is not None:
        onehot, factor, d_weights = _loss_gradient(g, node, log_prob, dLoss)
        terms.append(g.Mul(g.Sub(probabilities, onehot), factor))
    if dLogProb is not None:
        (d,) = widen(g, dLogProb)
        terms.append(g.Sub(d, g.Mul(probabilities, g.ReduceSum(d, [1], keepdims=1))))
    return narrow(g, node.inputs, g.Add(*terms) if len(terms) == 2 else terms[0], None, d_weights)


@negative_log_likelihood_loss.gradient
def _(g, node, dLoss):
    """dinput = −onehot · w · dLoss; w is the target's weight, 0 if ignored, over Σ w for `mean`."""
    onehot, factor, d_weight = _loss_gradient(g, node, *widen(g, node.inputs[0]), dLoss)
    return narrow(g, node.inputs, g.Neg(g.Mul(onehot, factor)), None, d_weight)


def _loss_gradient(g, node, log_prob, dLoss):
    """(onehot labels, w · dLoss with an axis for the classes, gradient of the weights), all in the dtype of `log_prob`.

    dweight[c] = Σ over labels c of nll · dLoss, for `mean` of (nll − loss) · dLoss / Σ w.
    """
    x, labels, weights = node.inputs
    dtype, rank = log_prob.dtype, len(node.shape(0))
    ignore, reduction = node.attrs["ignore_index"], node.attrs["reduction"]
    classes = node.shape(0)[1]
    depth = np.int64(classes) if isinstance(classes, int) else g.Gather(g.Shape(x), np.int64(1))
    onehot = g.OneHot(labels, depth, np.array([0, 1], dtype.numpy()), axis=1)
    w = None
    if ignore is not None:
        w = g.Cast(g.Not(g.Equal(labels, ignore)), to=dtype.value)
        onehot = g.Mul(onehot, g.Unsqueeze(w, [1]))
    if weights is not None:
        (spread,) = widen(g, weights)
        spread = g.Unsqueeze(spread, list(range(1, rank - 1))) if rank > 2 else spread
        w = g.ReduceSum(g.Mul(onehot, spread), [1], keepdims=0)
    (share,) = widen(g, dLoss)
    if reduction == "mean":
        share = g.Div(share, g.Cast(g.Size(labels), to=dtype.value) if w is None else g.ReduceSum(w, keepdims=0))
    factor = share if w is None else g.Mul(w, share)
    if w is not None or reduction == "none":
        factor = g.Unsqueeze(factor, [1])
    if weights is None:
        return onehot, factor, None
    nll = g.Neg(g.ReduceSum(g.Mul(onehot, log_prob), [1], keepdims=0))
    each = g.Mul(g.Sub(nll, *widen(g, node.outputs[0])) if reduction == "mean" else nll, share)
    others = [axis for axis in range(rank) if axis != 1]
    return onehot, factor, g.ReduceSum(g.Mul(onehot, g.Unsqueeze(each, [1])), others, keepdims=0)
