"""Rows of `runtime/ops/optimizer.py`; attributes are numbers that float32 holds exactly."""

from __future__ import annotations

import numpy as np

from ..table import Case, case, real

TRAINING = "ai.onnx.preview.training"
STEP = np.array(3, np.int64)
FIRST = np.array(0, np.int64)
ALPHA, BETA, EPSILON = (float(np.float32(default)) for default in (0.9, 0.999, 1e-6))


def squares(*shape, key="H"):
    return real(*shape, low=0.1, high=2, key=key)


def several(kinds):
    """A (2, 3), a scalar and an empty tensor with all their states, by kind; the last kind is of squares."""
    shapes = ((2, 3), (), (0, 4))
    return [squares(*s) if kind == kinds - 1 else real(*s, key=str(kind)) for kind in range(kinds) for s in shapes]


def _adam(R, T, X, G, V, H, *, alpha=ALPHA, beta=BETA, epsilon=EPSILON,
          norm_coefficient=0.0, norm_coefficient_post=0.0):  # fmt: skip
    """Kingma and Ba's Adam with the bias in the rate, as the specification has it; written out for one tensor."""
    g = G + norm_coefficient * X
    V, H = alpha * V + (1 - alpha) * g, beta * H + (1 - beta) * g**2
    rate = R if T == 0 else R * (1 - beta**T) ** 0.5 / (1 - alpha**T)
    return (1 - norm_coefficient_post) * (X - rate * V / (H**0.5 + epsilon)), V, H


def _momentum(R, T, X, G, V, *, alpha, beta, mode, norm_coefficient):
    g = G + norm_coefficient * X
    V = alpha * V + (beta if T > 0 else 1) * g
    return X - R * (V if mode == "standard" else g + alpha * V), V


def _adagrad(R, T, X, G, H, *, decay_factor=0.0, epsilon=EPSILON, norm_coefficient=0.0):
    g = G + norm_coefficient * X
    H = H + g**2
    return X - R / (1 + T * decay_factor) * g / (H**0.5 + epsilon), H


def _each(step):
    """The step of one tensor for three of them."""

    def expect(R, T, *inputs, **attrs):
        updated = [step(R, T, *inputs[i::3], **attrs) for i in range(3)]
        return [np.asarray(x) for kind in zip(*updated, strict=True) for x in kind]

    return expect


CASES: list[Case] = [
    case("Adagrad", 0.5, STEP, real(3, 4), real(3, 4, key="G"), squares(3, 4), domain=TRAINING, opset=1, outputs=2),
    *(
        case("Adagrad", 0.5, T, real(3), real(3, key="G"), squares(3), domain=TRAINING, opset=1, outputs=2,
             expect=_adagrad, decay_factor=0.25, epsilon=0.125, norm_coefficient=0.5, name=f"all {T}")
        for T in (FIRST, STEP)
    ),
    case("Adagrad", 0.5, STEP, *several(3), domain=TRAINING, opset=1, outputs=6, expect=_each(_adagrad),
         name="three tensors"),
    *(
        case("Adam", 0.5, T, real(3, 4), real(3, 4, key="G"), real(3, 4, key="V"), squares(3, 4), domain=TRAINING,
             opset=1, outputs=3, expect=_adam, name=f"{T}")
        for T in (FIRST, np.array(1, np.int64), STEP, np.array([1000], np.int64))
    ),
    case("Adam", 0.5, STEP, real(3), real(3, key="G"), real(3, key="V"), squares(3), domain=TRAINING, opset=1,
         outputs=3, expect=_adam, alpha=0.75, beta=0.875, epsilon=0.125, norm_coefficient=0.5,
         norm_coefficient_post=0.25, name="all"),
    case("Adam", 0.5, STEP, *several(4), domain=TRAINING, opset=1, outputs=9, expect=_each(_adam),
         name="three tensors"),
    *(
        case("Momentum", 0.5, T, real(3, 4), real(3, 4, key="G"), real(3, 4, key="V"), domain=TRAINING, opset=1,
             outputs=2, expect=_momentum, alpha=0.875, beta=0.25, mode=mode, norm_coefficient=0.5, name=f"{mode} {T}")
        for mode in ("standard", "nesterov")
        for T in (FIRST, STEP)
    ),
    case("Momentum", 0.5, STEP, real(3, 4), real(3, 4, key="G"), real(3, 4, key="V"), domain=TRAINING, opset=1,
         outputs=2, alpha=0.875, beta=0.25, mode="standard", norm_coefficient=0.0, name="reference"),
    case("Momentum", 0.5, STEP, *several(3), domain=TRAINING, opset=1, outputs=6, expect=_each(_momentum),
         alpha=0.875, beta=0.25, mode="nesterov", norm_coefficient=0.5, name="three tensors"),
]  # fmt: skip
