"""Rows of `runtime/ops/recurrent.py`, against a plain loop over sequences and steps.

The onnx reference knows neither sequence_lens nor activations; rows without `expect` are those it can do.
"""

from __future__ import annotations

import numpy as np

from ..table import Case, case, real

S, N, SIZE, H = 5, 3, 2, 4
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
DIRECTIONS = ("forward", "reverse", "bidirectional")
SIGMOID = "Sigmoid"


def _function(name):
    alpha = {"LeakyRelu": np.float32(0.01), "HardSigmoid": np.float32(0.2)}.get(name, 1.0)
    return {
        "Relu": lambda x: np.maximum(x, 0),
        "Tanh": np.tanh,
        "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "LeakyRelu": lambda x: np.where(x >= 0, x, alpha * x),
        "ThresholdedRelu": lambda x: np.where(x >= alpha, x, 0),
        "HardSigmoid": lambda x: np.clip(alpha * x + 0.5, 0, 1),
        "Elu": lambda x: np.where(x >= 0, x, alpha * (np.exp(x) - 1)),
        "Softsign": lambda x: x / (1 + np.abs(x)),
        "Softplus": lambda x: np.log(1 + np.exp(x)),
    }[name]


def _rnn_step(x, h, c, W, R, wb, rb, p, functions, bound, **_):
    return functions[0](bound(W @ x + R @ h + wb + rb)), c


def _gru_step(x, h, c, W, R, wb, rb, p, functions, bound, linear_before_reset=0, **_):
    (Wz, Wr, Wh), (Rz, Rr, Rh) = np.split(W, 3), np.split(R, 3)
    (wz, wr, wh), (rz, rr, rh) = np.split(wb, 3), np.split(rb, 3)
    f, g = functions
    z = f(bound(Wz @ x + Rz @ h + wz + rz))
    r = f(bound(Wr @ x + Rr @ h + wr + rr))
    inner = r * (Rh @ h + rh) if linear_before_reset else Rh @ (r * h) + rh
    return (1 - z) * g(bound(Wh @ x + inner + wh)) + z * h, c


def _lstm_step(x, h, c, W, R, wb, rb, p, functions, bound, input_forget=0, **_):
    i, o, forget, cell = np.split(W @ x + R @ h + wb + rb, 4)
    pi, po, pf = np.split(p, 3)
    f, g, out = functions
    i = f(bound(i + pi * c))
    forget = 1 - i if input_forget else f(bound(forget + pf * c))
    c = forget * c + i * g(bound(cell))
    return f(bound(o + po * c)) * out(c), c


STEPS = {
    "RNN": (_rnn_step, ["Tanh"]),
    "GRU": (_gru_step, [SIGMOID, "Tanh"]),
    "LSTM": (_lstm_step, [SIGMOID, "Tanh", "Tanh"]),
}


def _layer(op, functions=None):
    """The layer as `expect`: `functions` replaces the activations where their alpha and beta are given."""

    def expect(X, W, R, B=None, lens=None, h0=None, c0=None, P=None, *, direction="forward", layout=0, clip=None,
               activations=None, activation_alpha=None, activation_beta=None, hidden_size=None, **more):  # fmt: skip
        X = X.swapaxes(0, 1) if layout else X
        steps, batch, _ = X.shape
        directions, hidden = R.shape[0], R.shape[2]
        step, defaults = STEPS[op]
        names = activations or defaults * directions
        chosen = functions or list(map(_function, names))
        first = [np.zeros((directions, batch, hidden)) if s is None else s.swapaxes(0, 1) if layout else s
                 for s in (h0, c0)]  # fmt: skip
        Y, last = np.zeros((steps, directions, batch, hidden)), [s.copy() for s in first]
        for d in range(directions):
            wb, rb = np.zeros((2, GATES[op] * hidden)) if B is None else np.split(B[d], 2)
            p = np.zeros(3 * hidden) if P is None else P[d]
            for n in range(batch):
                h, c = first[0][d, n], first[1][d, n]
                order = list(range(steps if lens is None else lens[n]))
                for t in order[::-1] if direction == "reverse" or d else order:
                    h, c = step(
                        X[t, n], h, c, W[d], R[d], wb, rb, p, chosen[d * len(defaults) : (d + 1) * len(defaults)],
                        lambda x: x if clip is None else np.clip(x, -clip, clip), **more,
                    )  # fmt: skip
                    Y[t, d, n] = h
                last[0][d, n], last[1][d, n] = h, c
        if layout:
            Y, last = Y.transpose(2, 0, 1, 3), [s.swapaxes(0, 1) for s in last]
        return (Y, *last) if op == "LSTM" else (Y, last[0])

    return expect


def lens(*lengths):
    return np.array(lengths, np.int32)


def weights(op, directions=1):
    rows = GATES[op] * H
    W, R = (real(directions, rows, columns, low=-1, high=1) for columns in (SIZE, H))
    return W, R, real(directions, 2 * rows)


def states(op, directions=1, layout=0):
    shape = (N, directions, H) if layout else (directions, N, H)
    return (real(*shape, key="h"),) if op != "LSTM" else (real(*shape, key="h"), real(*shape, key="c"))


def rows(op):
    X, peepholes = real(S, N, SIZE), {"LSTM": real(1, 3 * H)}
    W, R, B = weights(op)
    outputs, expect = 3 if op == "LSTM" else 2, _layer(op)
    for direction in DIRECTIONS:
        D = 1 + (direction == "bidirectional")
        for lengths in (None, lens(3, S, 1), lens(2, 2, 2), lens(0, 4, 2)):
            yield case(op, X, *weights(op, D), lengths, *states(op, D), outputs=outputs, direction=direction,
                       hidden_size=H, expect=expect, name=f"{direction} {lengths}")  # fmt: skip
        yield case(op, real(N, S, SIZE), *weights(op, D), lens(5, 2, 4), *states(op, D, 1), outputs=outputs,
                   direction=direction, layout=1, expect=expect, name=f"{direction} batch first")  # fmt: skip
    yield case(op, X, W, R, outputs=outputs, hidden_size=H, name="reference")
    yield case(op, X, W, R, B, opset=7, direction="forward", expect=expect)
    yield case(op, X, W, R, outputs=outputs, clip=0.25, opset=22, expect=expect, name="clip")
    yield case(op, X, W, R, opset=1, outputs=1 + (op == "GRU"), output_sequence=1, expect=expect)
    yield case(op, X, W, R, B, dtypes=("float16", "bfloat16"), opset=22, expect=expect, name="narrow")
    yield case(op, real(0, N, SIZE), W, R, B, None, *states(op), outputs=outputs, expect=expect, name="no steps")
    yield case(op, real(S, 0, SIZE), W, R, outputs=outputs, expect=expect, name="no sequences")
    yield case(op, real(1, 1, SIZE), W, R, outputs=outputs, expect=expect, name="one step")
    if op in peepholes:
        peephole = peepholes[op]
        yield case(op, X, W, R, B, None, *states(op), peephole, outputs=3, expect=expect, name="peepholes")
        yield case(op, X, W, R, B, None, *states(op), peephole, outputs=3, clip=0.5, input_forget=1, expect=expect,
                   name="coupled clipped peepholes")  # fmt: skip
        yield case(op, X, W, R, B, input_forget=1, opset=7, expect=expect, name="coupled")


def activation_rows():
    X = real(S, N, SIZE)
    W, R, _ = weights("RNN")
    plain = ("Relu", "Tanh", SIGMOID, "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu", "Softsign", "Softplus")
    for name in plain:
        yield case("RNN", X, W, R, activations=[name], expect=_layer("RNN"), name=name)
    given = {
        "Affine": lambda x: 0.5 * x + 0.25,
        "LeakyRelu": lambda x: np.where(x >= 0, x, 0.5 * x),
        "ThresholdedRelu": lambda x: np.where(x >= 0.5, x, 0),
        "ScaledTanh": lambda x: 0.5 * np.tanh(0.25 * x),
        "HardSigmoid": lambda x: np.clip(0.5 * x + 0.25, 0, 1),
        "Elu": lambda x: np.where(x >= 0, x, 0.5 * (np.exp(x) - 1)),
    }
    for name, function in given.items():
        yield case("RNN", X, W, R, activations=[name], activation_alpha=[0.5], activation_beta=[0.25],
                   expect=_layer("RNN", [function]), name=f"{name} alpha beta")  # fmt: skip
    # The second alpha is the Elu's: Tanh, Sigmoid and Softsign take none. The second HardSigmoid is left its defaults.
    yield case("LSTM", X, *weights("LSTM", 2)[:2], outputs=3, direction="bidirectional",
               activations=["HardSigmoid", "Tanh", "Elu", "Sigmoid", "Softsign", "HardSigmoid"],
               activation_alpha=[0.5, 0.75], activation_beta=[0.25],
               expect=_layer("LSTM", [given["HardSigmoid"], np.tanh, lambda x: np.where(x >= 0, x, 0.75 * np.expm1(x)),
                                      _function(SIGMOID), _function("Softsign"), _function("HardSigmoid")]),
               name="activations of each direction")  # fmt: skip
    yield case("GRU", X, *weights("GRU", 2)[:2], outputs=2, direction="bidirectional",
               activations=[SIGMOID, "Relu", "Softsign", "Relu"], expect=_layer("GRU"), name="activations")  # fmt: skip


CASES: list[Case] = [
    *(row for op in GATES for row in rows(op)),
    *activation_rows(),
    case("GRU", real(S, N, SIZE), *weights("GRU"), None, *states("GRU"), outputs=2, linear_before_reset=1,
         expect=_layer("GRU"), name="linear before reset"),
    case("GRU", real(S, N, SIZE), *weights("GRU"), lens(1, 5, 2), *states("GRU"), opset=3, outputs=2,
         linear_before_reset=1, clip=0.5, expect=_layer("GRU")),
    case("GRU", real(S, N, SIZE), *weights("GRU", 2)[:2], opset=7, linear_before_reset=1, direction="bidirectional",
         expect=_layer("GRU"), name="linear before reset without bias"),
]  # fmt: skip
