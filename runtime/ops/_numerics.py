"""Numerical building blocks that several families share: precision of narrow floats, the error function, selection."""

from __future__ import annotations

from functools import wraps

import numpy as np

from ..dtypes import compute_dtype

# erf(x) = x + x·P(x²)/Q(x²) for |x| < 1, and 1 − exp(−x²)·R(x)/S(x) for 1 ≤ x ≤ 6: rational functions fitted to
# the least greatest relative error, by dtype as (P, Q, R, S), lowest power first.
_ERF = {
    "float64": (
        (0.1283791670955126, -0.317006413440054, -0.0483287808628243, -0.008815559912316254, -0.00049559682726751,
         -2.073176201557979e-05),
        (1.0, 0.460510664847975, 0.09381207387469132, 0.010692881984763088, 0.0006924781089599118,
         2.0809341629222822e-05),
        (0.9999998885727357, 1.390218172063596, 0.9490742697772482, 0.37333267121663943, 0.08426396561314108,
         0.008917556977977652),
        (1.0, 2.518596164038153, 2.7910116210666027, 1.7562897177551915, 0.6696776596006535, 0.1493500668756789,
         0.015806081340961828),
    ),
    "float32": (
        (0.12837916443942832, -0.33098175278274716, -0.014593517579254514, -0.0013423086025599973),
        (1.0, 0.3516491691925463, 0.037667508049819665),
        (1.0010317346380477, 0.7619771693331479, 0.24640149859967056),
        (1.0, 1.8969922117137104, 1.3669997658562565, 0.4354644856262298),
    ),
}  # fmt: skip
_ERF_IS_ONE = 6.0
_FEW = 4096


def in_float32(kernel):
    """Decorator: a kernel of floating-point inputs and an `out` computes narrow floats in float32 and rounds once."""

    @wraps(kernel)
    def computed(xp, X, *others, out=None, **attributes):
        dtype = compute_dtype(X.dtype)
        if dtype == X.dtype:
            return kernel(xp, X, *others, out=out, **attributes)
        others = [x.astype(dtype) for x in others]
        return kernel(xp, X.astype(dtype), *others, out=None, **attributes).astype(X.dtype)

    return computed


def polynomial(xp, x, coefficients):
    """Σ coefficients[i] · xⁱ by Horner's rule."""
    y = xp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        y *= x
        y += c
    return y


def erf(xp, x):
    """erf(x) = 2/√π ∫₀ˣ exp(−t²) dt of float64 (within 1 unit in the last place) or float32 (within 2)."""
    P, Q, R, S = _ERF[x.dtype.name]
    a = xp.minimum(xp.absolute(x), _ERF_IS_ONE)
    t = a * a
    inner = polynomial(xp, t, P)
    inner /= polynomial(xp, t, Q)
    inner *= x
    inner += x
    outer = xp.exp(xp.negative(t))
    outer *= polynomial(xp, a, R)
    outer /= polynomial(xp, a, S)
    return select(xp, a < 1, inner, xp.copysign(1 - outer, x))


def select(xp, condition, X, Y, out=None):
    """X where the condition holds, else Y; broadcast. Exact for every dtype; `out` may be any of the inputs.

    NumPy's `where` branches on each element; on arrays of some size bits are blended instead.
    """
    few = condition.size < _FEW or not isinstance(condition, np.ndarray)
    if few or X.dtype != Y.dtype or X.dtype.kind == "O" or X.dtype.itemsize > 8:
        return xp.where(condition, X, Y)
    bits = np.dtype(f"i{X.dtype.itemsize}")
    x, y = X.view(bits), Y.view(bits)
    mask = condition.astype(bits)
    mask = xp.negative(mask, out=mask)
    mask = xp.bitwise_and(mask, xp.bitwise_xor(x, y))
    return xp.bitwise_xor(mask, y, out=None if out is None else out.view(bits)).view(X.dtype)
