"""What recurrent layers have in common: activations, checked inputs, and the loop over the steps."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..dtypes import compute_dtype
from ..errors import InvalidGraph, InvalidInput
from ._axes import bounded

DIRECTIONS = {
    "forward": (False,),
    "foward": (False,),  # how GRU-1 spells its default
    "reverse": (True,),
    "bidirectional": (False, True),
}
"""For each direction whether it runs from the end to the start."""


# ---- activations, each in place


def _relu(xp, z):
    xp.maximum(z, 0, out=z)


def _tanh(xp, z):
    xp.tanh(z, out=z)


def _sigmoid(xp, z):
    xp.multiply(z, -1, out=z)  # NumPy 2.4 negates wrongly into views whose elements lie 16 bytes apart
    xp.exp(z, out=z)
    z += 1
    xp.divide(1, z, out=z)


def _affine(xp, z, alpha, beta):
    z *= alpha
    z += beta


def _leaky_relu(xp, z, alpha):
    z *= xp.where(z < 0, alpha, 1.0).astype(z.dtype)


def _thresholded_relu(xp, z, alpha):
    z[...] = xp.where(z >= alpha, z, 0)


def _scaled_tanh(xp, z, alpha, beta):
    z *= beta
    xp.tanh(z, out=z)
    z *= alpha


def _hard_sigmoid(xp, z, alpha, beta):
    _affine(xp, z, alpha, beta)
    xp.clip(z, 0, 1, out=z)


def _elu(xp, z, alpha):
    z[...] = xp.where(z < 0, alpha * xp.expm1(z), z)


def _softsign(xp, z):
    z /= 1 + xp.absolute(z)


def _softplus(xp, z):
    xp.logaddexp(z, xp.zeros((), z.dtype), out=z)


ACTIVATIONS = {
    "relu": (_relu,),
    "tanh": (_tanh,),
    "sigmoid": (_sigmoid,),
    "affine": (_affine, 1.0, 0.0),
    "leakyrelu": (_leaky_relu, 0.009999999776482582),
    "thresholdedrelu": (_thresholded_relu, 1.0),
    "scaledtanh": (_scaled_tanh, None, None),
    "hardsigmoid": (_hard_sigmoid, 0.20000000298023224, 0.5),
    "elu": (_elu, 1.0),
    "softsign": (_softsign,),
    "softplus": (_softplus,),
}
"""Name in lower case → (function, default of alpha, default of beta), as far as it takes them; None: there is none."""


def gate_functions(xp, defaults, directions, names, activation_alpha, activation_beta, clip):
    """One function for each entry of `defaults`, which activates a gate [D, N, …] in place and returns it.

    The values of alpha and beta go, in order, to the functions that take one; those left without have the default.
    As in onnxruntime ±clip bounds what goes into the first two, the gates', not what goes into the hidden state's.

    Raises:
        InvalidGraph: for an unknown activation, a wrong number of them, one without the alpha or beta it needs, or a
            negative clip.
    """
    kinds, names = len(defaults), names or defaults * directions
    if len(names) not in (kinds * directions, 2 * kinds):
        raise InvalidGraph(f"{kinds * directions} activations are needed; found {len(names)}: {list(names)}")
    if clip is not None and clip < 0:
        raise InvalidGraph(f"clip must not be negative; found {clip}")
    values = iter(activation_alpha or ()), iter(activation_beta or ())
    chosen = [_activation(name, values) for name in names[: kinds * directions]]
    clips = (clip, clip, None)
    return [partial(_activate, xp, chosen[kind::kinds], clips[kind]) for kind in range(kinds)]


def _activation(name, values):
    """The function of that name, followed by the next of the values that it takes."""
    if name.lower() not in ACTIVATIONS:
        raise InvalidGraph(f"activation {name!r} is unknown; expected one of {', '.join(ACTIVATIONS)}")
    function, *defaults = ACTIVATIONS[name.lower()]
    parameters = [next(v, default) for v, default in zip(values, defaults, strict=False)]
    if None in parameters:
        raise InvalidGraph(f"activation {name!r} needs a value in activation_alpha and one in activation_beta")
    return (function, *parameters)


def _activate(xp, functions, clip, z):
    """Applies to z[d] the function of direction d; to all of z at once where they are the same."""
    if clip is not None:
        xp.clip(z, -clip, clip, out=z)
    same = len(set(functions)) == 1
    for d, (function, *parameters) in enumerate(functions[:1] if same else functions):
        function(xp, z if same else z[d], *parameters)
    return z


# ---- the layer around a cell


class Layer:
    """The checked inputs of a layer with `gates` gates, and the loop over its steps.

    S is the number of steps, N the batch size, H the hidden size, D the number of directions.
    """

    def __init__(self, xp, gates, X, W, R, B, sequence_lens, *, direction, hidden_size, layout=0):
        if direction not in DIRECTIONS:
            raise InvalidGraph(f"direction {direction!r} is unknown; expected forward, reverse or bidirectional")
        if X.ndim != 3 or R.ndim != 3 or not X.shape[2]:
            raise InvalidInput(
                f"X of shape {list(X.shape)} and R of shape {list(R.shape)} must have rank 3, and X features"
            )
        self.xp, self.layout, self.dtype = xp, layout, X.dtype
        self.backwards = DIRECTIONS[direction]
        self.directions, self.hidden = len(self.backwards), R.shape[2]
        if hidden_size not in (None, self.hidden):
            raise InvalidGraph(f"hidden_size is {hidden_size}, but R has shape {list(R.shape)}")
        wide = compute_dtype(X.dtype)
        self.X = (X.swapaxes(0, 1) if layout else X).astype(wide, copy=False)
        self.steps, self.batch, size = self.X.shape
        rows = gates * self.hidden
        self.W = self.checked("W", W, self.directions, rows, size)
        self.R = self.checked("R", R, self.directions, rows, self.hidden).swapaxes(1, 2)
        self.B = None if B is None else self.checked("B", B, self.directions, 2 * rows)
        self.lengths = self._lengths(sequence_lens)
        self.longest = int(self.lengths.max()) if self.lengths.size and self.hidden else 0

    def checked(self, name, x, *shape):
        """`x` in the dtype of the computation."""
        if x.shape != shape:
            raise InvalidInput(f"{name} has shape {list(x.shape)}; expected {list(shape)}")
        return x.astype(self.X.dtype, copy=False)

    def _lengths(self, sequence_lens):
        if sequence_lens is None:
            return np.full(bounded((self.batch,), np.int64), self.steps)
        if sequence_lens.shape != (self.batch,) or ((sequence_lens < 0) | (sequence_lens > self.steps)).any():
            raise InvalidInput(
                f"sequence_lens must hold {self.batch} lengths from 0 to {self.steps}; found {sequence_lens.tolist()}"
            )
        return sequence_lens.astype(np.int64)

    def state(self, name, initial):
        """A state before the first step: [D, N, H]."""
        shape = (self.directions, self.batch, self.hidden)
        if initial is None:
            return self.xp.zeros(bounded(shape, self.X.dtype), self.X.dtype)
        if self.layout and initial.ndim == 3:
            initial = initial.swapaxes(0, 1)
        return self.checked(name, initial, *shape)

    def projected(self, bias):
        """X · Wᵀ + bias for all steps, in the order in which they are run: [D, steps, N, rows of W]."""
        xp, X = self.xp, self.X[: self.longest]
        shape = bounded((self.directions, self.longest, self.batch, self.W.shape[1]), X.dtype)
        ordered = xp.stack([self._reversed(X) if back else X for back in self.backwards])
        flat = ordered.reshape(self.directions, self.longest * self.batch, X.shape[2])
        Z = xp.matmul(flat, self.W.swapaxes(1, 2)).reshape(shape)
        if bias is not None:
            Z += bias[:, None, None]
        return Z

    def _reversed(self, x):
        """`x`, [steps, N, …], with the steps of each sequence in reverse and what is behind its end left there."""
        xp = self.xp
        if not self.lengths.size or self.lengths.min() == self.longest:
            return xp.flip(x, 0)
        steps = np.arange(self.longest)[:, None]
        order = np.where(steps < self.lengths, self.lengths - 1 - steps, steps)
        return x[xp.asarray(order), xp.arange(self.batch)]

    def run(self, step, Z, *states):
        """`step(Z[:, t], *states)` for every t; returns Y and the states after each sequence's last step."""
        xp, shortest = self.xp, self.lengths.min() if self.lengths.size else 0
        shape = bounded((self.steps, self.directions, self.batch, self.hidden), Z.dtype)
        Y = xp.zeros(shape, Z.dtype)
        lengths = xp.asarray(self.lengths)[:, None]
        for t in range(self.longest):
            new = step(Z[:, t], *states)
            if t >= shortest:
                going = t < lengths
                Y[t] = xp.where(going, new[0], 0)
                states = [xp.where(going, after, before) for after, before in zip(new, states, strict=True)]
            else:
                Y[t] = new[0]
                states = new
        for d, back in enumerate(self.backwards):
            if back:
                Y[: self.longest, d] = self._reversed(Y[: self.longest, d]).copy()
        if self.layout:
            Y, states = Y.transpose(2, 0, 1, 3), [state.swapaxes(0, 1) for state in states]
        return (Y.astype(self.dtype, copy=False), *(state.astype(self.dtype) for state in states))
