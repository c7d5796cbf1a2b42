"""Recurrent layers: RNN, GRU, LSTM.

S is the number of steps, N the batch size, H the hidden size, D the number of directions.
"""

from __future__ import annotations

from ._recurrent import Layer, gate_functions
from .registry import op

# ---- RNN


def _rnn(
    xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip, **layout
):  # fmt: skip
    """Ht = f(Xt·Wᵀ + Ht₋₁·Rᵀ + Wb + Rb)"""
    layer = Layer(xp, 1, X, W, R, B, sequence_lens, **layout)
    (f,) = gate_functions(xp, ("Tanh",), layer.directions, activations, activation_alpha, activation_beta, clip)
    bias = None if B is None else layer.B[:, : layer.hidden] + layer.B[:, layer.hidden :]

    def step(z, H):
        z += xp.matmul(H, layer.R)
        return (f(z),)

    return layer.run(step, layer.projected(bias), layer.state("initial_h", initial_h))


@op("RNN", since=1, host=(4,), differentiable=False)
def rnn_1(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, *, activations=("Tanh", "Tanh"), activation_alpha=None,
    activation_beta=None, clip=None, direction="forward", hidden_size=None, output_sequence=0,
):  # fmt: skip
    """A simple recurrent layer, see `rnn_14`; the sequence is there whether or not `output_sequence` asks for it."""
    return _rnn(
        xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip,
        direction=direction, hidden_size=hidden_size,
    )  # fmt: skip


@op("RNN", since=7, host=(4,), differentiable=False)
def rnn_7(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, *, activations=("Tanh", "Tanh"), activation_alpha=None,
    activation_beta=None, clip=None, direction="forward", hidden_size=None,
):  # fmt: skip
    """A simple recurrent layer, see `rnn_14`."""
    return _rnn(
        xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip,
        direction=direction, hidden_size=hidden_size,
    )  # fmt: skip


@op("RNN", since=14, host=(4,), differentiable=False)
def rnn_14(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, *, activations=("Tanh", "Tanh"), activation_alpha=None,
    activation_beta=None, clip=None, direction="forward", hidden_size=None, layout=0,
):  # fmt: skip
    """Ht = f(Xt·Wᵀ + Ht₋₁·Rᵀ + Wb + Rb); Y [S, D, N, H] and Y_h [D, N, H], or with layout 1 N first."""
    return _rnn(
        xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip,
        direction=direction, hidden_size=hidden_size, layout=layout,
    )  # fmt: skip


# ---- GRU


def _gru(
    xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip,
    linear_before_reset, **layout,
):  # fmt: skip
    """Gates z, r, h; see `gru_14`."""
    layer = Layer(xp, 3, X, W, R, B, sequence_lens, **layout)
    defaults = ("Sigmoid", "Tanh")
    f, g = gate_functions(xp, defaults, layer.directions, activations, activation_alpha, activation_beta, clip)
    H2, H3 = 2 * layer.hidden, 3 * layer.hidden
    bias = inner = None
    if B is not None:
        bias = layer.B[:, :H3].copy()
        bias[:, :H2] += layer.B[:, H3 : H3 + H2]
        inner = layer.B[:, None, H3 + H2 :]
        if not linear_before_reset:
            bias[:, H2:] += inner[:, 0]

    def step(z, H):
        zr = z[..., :H2]
        if linear_before_reset:
            recurrent = xp.matmul(H, layer.R)
            zr += recurrent[..., :H2]
            h = recurrent[..., H2:]
            if inner is not None:
                h += inner
            h *= f(zr)[..., layer.hidden :]
        else:
            zr += xp.matmul(H, layer.R[..., :H2])
            h = xp.matmul(f(zr)[..., layer.hidden :] * H, layer.R[..., H2:])
        h += z[..., H2:]
        g(h)
        return (h + zr[..., : layer.hidden] * (H - h),)

    return layer.run(step, layer.projected(bias), layer.state("initial_h", initial_h))


@op("GRU", since=1, host=(4,), differentiable=False)
def gru_1(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, *, activations=None, activation_alpha=None,
    activation_beta=None, clip=None, direction="foward", hidden_size=None, output_sequence=0,
):  # fmt: skip
    """A GRU layer, see `gru_14`; the sequence is there whether or not `output_sequence` asks for it."""
    return _gru(
        xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip, 0,
        direction=direction, hidden_size=hidden_size,
    )  # fmt: skip


@op("GRU", since=3, host=(4,), differentiable=False)
def gru_3(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, *, activations=None, activation_alpha=None,
    activation_beta=None, clip=None, direction="forward", hidden_size=None, linear_before_reset=0, output_sequence=0,
):  # fmt: skip
    """A GRU layer, see `gru_14`; the sequence is there whether or not `output_sequence` asks for it."""
    return _gru(
        xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip,
        linear_before_reset, direction=direction, hidden_size=hidden_size,
    )  # fmt: skip


@op("GRU", since=7, host=(4,), differentiable=False)
def gru_7(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, *, activations=None, activation_alpha=None,
    activation_beta=None, clip=None, direction="forward", hidden_size=None, linear_before_reset=0,
):  # fmt: skip
    """A GRU layer, see `gru_14`."""
    return _gru(
        xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip,
        linear_before_reset, direction=direction, hidden_size=hidden_size,
    )  # fmt: skip


@op("GRU", since=14, host=(4,), differentiable=False)
def gru_14(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, *, activations=None, activation_alpha=None,
    activation_beta=None, clip=None, direction="forward", hidden_size=None, layout=0, linear_before_reset=0,
):  # fmt: skip
    """Ht = (1 − zt) ⊙ ht + zt ⊙ Ht₋₁ with

    zt, rt = f(Xt·Wᵀ + Ht₋₁·Rᵀ + Wb + Rb) and ht = g(Xt·Wᵀ + (rt ⊙ Ht₋₁)·Rᵀ + Rb + Wb),
    or ht = g(Xt·Wᵀ + rt ⊙ (Ht₋₁·Rᵀ + Rb) + Wb) with linear_before_reset.
    Y [S, D, N, H] and Y_h [D, N, H], or with layout 1 N first.
    """
    return _gru(
        xp, X, W, R, B, sequence_lens, initial_h, activations, activation_alpha, activation_beta, clip,
        linear_before_reset, direction=direction, hidden_size=hidden_size, layout=layout,
    )  # fmt: skip


# ---- LSTM


def _lstm(
    xp, X, W, R, B, sequence_lens, initial_h, initial_c, P, activations, activation_alpha, activation_beta, clip,
    input_forget, **layout,
):  # fmt: skip
    """Gates i, o, f, c; see `lstm_14`."""
    layer = Layer(xp, 4, X, W, R, B, sequence_lens, **layout)
    defaults = ("Sigmoid", "Tanh", "Tanh")
    f, g, h = gate_functions(xp, defaults, layer.directions, activations, activation_alpha, activation_beta, clip)
    n = layer.hidden
    bias = None if B is None else layer.B[:, : 4 * n] + layer.B[:, 4 * n :]
    if P is not None:
        P = layer.checked("P", P, layer.directions, 3 * n)[:, None]

    def step(z, H, C):
        z += xp.matmul(H, layer.R)
        i, o, forget = z[..., :n], z[..., n : 2 * n], z[..., 2 * n : 3 * n]
        if P is None:
            f(z[..., : 3 * n])
        else:
            i += P[..., :n] * C
            forget += P[..., 2 * n :] * C
            f(i)
            f(forget)
        kept = (1 - i if input_forget else forget) * C
        C = g(z[..., 3 * n :]) * i
        C += kept
        if P is not None:
            o += P[..., n : 2 * n] * C
            f(o)
        return h(C.copy()) * o, C

    states = layer.state("initial_h", initial_h), layer.state("initial_c", initial_c)
    return layer.run(step, layer.projected(bias), *states)


@op("LSTM", since=1, host=(4,), differentiable=False)
def lstm_1(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, initial_c=None, P=None, *, activations=None,
    activation_alpha=None, activation_beta=None, clip=None, direction="forward", hidden_size=None, input_forget=0,
    output_sequence=0,
):  # fmt: skip
    """An LSTM layer, see `lstm_14`; the sequence is there whether or not `output_sequence` asks for it."""
    return _lstm(
        xp, X, W, R, B, sequence_lens, initial_h, initial_c, P, activations, activation_alpha, activation_beta, clip,
        input_forget, direction=direction, hidden_size=hidden_size,
    )  # fmt: skip


@op("LSTM", since=7, host=(4,), differentiable=False)
def lstm_7(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, initial_c=None, P=None, *, activations=None,
    activation_alpha=None, activation_beta=None, clip=None, direction="forward", hidden_size=None, input_forget=0,
):  # fmt: skip
    """An LSTM layer, see `lstm_14`."""
    return _lstm(
        xp, X, W, R, B, sequence_lens, initial_h, initial_c, P, activations, activation_alpha, activation_beta, clip,
        input_forget, direction=direction, hidden_size=hidden_size,
    )  # fmt: skip


@op("LSTM", since=14, host=(4,), differentiable=False)
def lstm_14(
    xp, X, W, R, B=None, sequence_lens=None, initial_h=None, initial_c=None, P=None, *, activations=None,
    activation_alpha=None, activation_beta=None, clip=None, direction="forward", hidden_size=None, input_forget=0,
    layout=0,
):  # fmt: skip
    """Ct = ft ⊙ Ct₋₁ + it ⊙ ct and Ht = ot ⊙ h(Ct) with

    it, ft = f(Xt·Wᵀ + Ht₋₁·Rᵀ + P ⊙ Ct₋₁ + Wb + Rb), ct = g(Xt·Wᵀ + Ht₋₁·Rᵀ + Wb + Rb) and
    ot = f(Xt·Wᵀ + Ht₋₁·Rᵀ + P ⊙ Ct + Wb + Rb); with input_forget ft = 1 − it.
    Y [S, D, N, H], Y_h and Y_c [D, N, H], or with layout 1 N first.
    """
    return _lstm(
        xp, X, W, R, B, sequence_lens, initial_h, initial_c, P, activations, activation_alpha, activation_beta, clip,
        input_forget, direction=direction, hidden_size=hidden_size, layout=layout,
    )  # fmt: skip
