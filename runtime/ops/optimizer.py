"""ai.onnx.preview.training: one step of an optimizer, for any number of tensors at once.

R is the learning rate, T the number of steps before this one. The variadic inputs are all tensors X, then all their
gradients G, then all states of the first kind, and so on; outputs are all new X, then the new states likewise.
"""

from __future__ import annotations

import numpy as np

from ..errors import InvalidGraph, InvalidInput
from .registry import op

TRAINING = "ai.onnx.preview.training"


def _groups(name, inputs, kinds):
    """One tuple (X, G, states...) for each tensor to be optimized, out of inputs of `kinds` kinds."""
    if not inputs or len(inputs) % kinds:
        raise InvalidInput(f"{name} takes R, T and {kinds} inputs for each tensor; found {len(inputs)} behind T")
    count = len(inputs) // kinds
    groups = [inputs[i::count] for i in range(count)]
    for group in groups:
        if len({x.shape for x in group}) > 1:
            found = ", ".join(str(list(x.shape)) for x in group)
            raise InvalidInput(f"{name}: a tensor, its gradient and its states have shapes {found}; expected one shape")
    return groups


def _by_kind(updated):
    """All first outputs, then all second ones, and so on."""
    return tuple(x for kind in zip(*updated, strict=True) for x in kind)


def _scalars(R, T):
    """Learning rate and step as Python numbers: they take the dtype of the tensor they meet."""
    if R.size != 1 or T.size != 1:
        raise InvalidInput(f"R and T must be single numbers; found shapes {list(R.shape)} and {list(T.shape)}")
    return float(R.reshape(())), int(T.reshape(()))


@op("Adagrad", since=1, domain=TRAINING, host=(0, 1), differentiable=False)
def adagrad(xp, R, T, *inputs, decay_factor=0.0, epsilon=9.999999974752427e-07, norm_coefficient=0.0):
    """X − r · g / (√H + epsilon) with g = G + norm_coefficient · X, H = H + g², r = R / (1 + T · decay_factor).

    Inputs are X, G, H; outputs X, H.
    """
    R, T = _scalars(R, T)
    if 1 + T * decay_factor == 0:
        raise InvalidInput(f"1 + T · decay_factor is 0 for T = {T} and decay_factor = {decay_factor}")
    r = R / (1 + T * decay_factor)

    def update(X, G, H):
        g = norm_coefficient * X + G
        H = H + g * g
        return X - r * g / (xp.sqrt(H) + epsilon), H

    return _by_kind(update(*group) for group in _groups("Adagrad", inputs, 3))


@op("Adam", since=1, domain=TRAINING, host=(0, 1), differentiable=False)
def adam(
    xp, R, T, *inputs, alpha=0.8999999761581421, beta=0.9990000128746033, epsilon=9.999999974752427e-07,
    norm_coefficient=0.0, norm_coefficient_post=0.0,
):  # fmt: skip
    """(1 − norm_coefficient_post) · (X − r · V / (√H + epsilon)) with g = G + norm_coefficient · X,

    V = alpha · V + (1 − alpha) · g, H = beta · H + (1 − beta) · g², and r = R · √(1 − beta^T) / (1 − alpha^T), or R in
    the first step, T = 0. Inputs are X, G, V, H; outputs X, V, H.
    """
    R, T = _scalars(R, T)
    r = R
    if T > 0:
        r = float(np.float64(R) * np.sqrt(1 - np.float64(beta) ** T) / (1 - np.float64(alpha) ** T))

    def update(X, G, V, H):
        g = norm_coefficient * X + G
        V = alpha * V + (1 - alpha) * g
        H = beta * H + (1 - beta) * (g * g)
        return (1 - norm_coefficient_post) * (X - r * V / (xp.sqrt(H) + epsilon)), V, H

    return _by_kind(update(*group) for group in _groups("Adam", inputs, 4))


MODES = ("standard", "nesterov")


@op("Momentum", since=1, domain=TRAINING, host=(0, 1), differentiable=False)
def momentum(xp, R, T, *inputs, alpha, beta, mode, norm_coefficient):
    """X − R · V, or X − R · (g + alpha · V) in mode nesterov, with g = G + norm_coefficient · X

    and V = alpha · V + beta · g; in the first step, T = 0, beta is 1. Inputs are X, G, V; outputs X, V.
    """
    if mode not in MODES:
        raise InvalidGraph(f"mode {mode!r} of Momentum is unknown; expected one of {', '.join(MODES)}")
    R, T = _scalars(R, T)
    b = beta if T > 0 else 1.0

    def update(X, G, V):
        g = norm_coefficient * X + G
        V = alpha * V + b * g
        return X - R * (g + alpha * V if mode == "nesterov" else V), V

    return _by_kind(update(*group) for group in _groups("Momentum", inputs, 3))
