"""Matrix products, MatMul and Gemm, and the determinant Det."""

from __future__ import annotations

import math

from ..dtypes import compute_dtype
from ..errors import InvalidInput
from ._axes import fits
from .registry import op


@op("MatMul", since=1)
def matmul(xp, A, B, *, out=None):
    """The product as numpy.matmul defines it, for all ranks; narrow floats are summed in float32."""
    wide = compute_dtype(A.dtype)
    if wide != A.dtype:
        return matmul(xp, A.astype(wide), B.astype(wide)).astype(A.dtype)
    if A.ndim > 2 and B.ndim == 2 and (out is None or out.flags.c_contiguous):
        return _one_matrix(xp, A, B, out)
    if A.ndim == B.ndim == 1:
        return xp.matmul(A, B).reshape(())
    return xp.matmul(A, B, out=out)


def _one_matrix(xp, A, B, out):
    """Many matrices times the same one: a single product of the rows of all of them."""
    rows = math.prod(A.shape[:-1])
    flat = None if out is None else out.reshape(rows, B.shape[1])
    return xp.matmul(A.reshape(rows, A.shape[-1]), B, out=flat).reshape(*A.shape[:-1], B.shape[1])


@matmul.gradient
def _(g, node, dY):
    """dA = dY · Bᵀ, dB = Aᵀ · dY over the last two axes; a vector A counts as one row, a vector B as one column."""
    A, B = node.inputs
    a, b = len(node.shape(0)), len(node.shape(1))
    if a == b == 1:
        return g.Mul(dY, B), g.Mul(dY, A)
    if a == 1:
        return g.Squeeze(g.MatMul(B, g.Unsqueeze(dY, [-1])), [-1]), g.Mul(g.Unsqueeze(A, [-1]), g.Unsqueeze(dY, [-2]))
    if b == 1:
        column = g.Unsqueeze(dY, [-1])
        return g.Mul(column, B), g.Squeeze(g.MatMul(_transposed(g, A, a), column), [-1])
    if a == b == 2:
        return g.Gemm(dY, B, transB=1), g.Gemm(A, dY, transA=1)
    if b == 2:
        rows, columns = g.Flatten(A, axis=a - 1), g.Flatten(dY, axis=a - 1)
        return g.MatMul(dY, _transposed(g, B, b)), g.Gemm(rows, columns, transA=1)
    return g.MatMul(dY, _transposed(g, B, b)), g.MatMul(_transposed(g, A, a), dY)


def _transposed(g, x, rank):
    return g.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])


def _gemm(xp, A, B, C, alpha, beta, transA, transB, out=None):
    if A.ndim != 2 or B.ndim != 2:
        raise InvalidInput(f"Gemm: A has shape {list(A.shape)} and B {list(B.shape)}; expected two matrices")
    inner, other = A.shape[not transA], B.shape[bool(transB)]
    result = A.shape[bool(transA)], B.shape[not transB]
    if inner != other or (C is not None and not fits(C.shape, result)):
        also = "" if C is None else f" and C {list(C.shape)}"
        raise InvalidInput(
            f"Gemm: A has shape {list(A.shape)}, B {list(B.shape)}{also}, transA={transA}, transB={transB}; they do "
            "not fit together"
        )
    wide = compute_dtype(A.dtype)
    if wide != A.dtype:
        C = None if C is None else C.astype(wide)
        return _gemm(xp, A.astype(wide), B.astype(wide), C, alpha, beta, transA, transB).astype(A.dtype)
    Y = xp.matmul(A.T if transA else A, B.T if transB else B, out=out)
    if alpha != 1:
        Y = _scaled(xp, Y, alpha, Y)
    if C is None or beta == 0:
        return Y
    if beta != 1:
        C = _scaled(xp, C, beta, None)
    return xp.add(Y, C, out=Y)


def _scaled(xp, x, factor, out):
    """factor · x; the products of integers with a fraction are rounded towards zero."""
    if x.dtype.kind == "f":
        return xp.multiply(x, factor, out=out)
    return xp.multiply(x, int(factor), out=out) if factor == int(factor) else (x * factor).astype(x.dtype)


def _gemm_until_7(xp, A, B, C, alpha, beta, broadcast, transA, transB, out):
    shape = (A.shape[-1 if transA else 0], B.shape[0 if transB else -1])
    if not broadcast and C.shape != shape:
        raise InvalidInput(f"Gemm: C has shape {list(C.shape)}; without broadcast=1 expected {list(shape)}")
    return _gemm(xp, A, B, C, alpha, beta, transA, transB, out)


@op("Gemm", since=1)
def gemm_1(xp, A, B, C, *, alpha=1.0, beta=1.0, broadcast=0, transA=0, transB=0, out=None):
    """alpha · A' · B' + beta · C; C is broadcast only on request."""
    return _gemm_until_7(xp, A, B, C, alpha, beta, broadcast, transA, transB, out)


@op("Gemm", since=7)
def gemm(xp, A, B, C=None, *, alpha=1.0, beta=1.0, transA=0, transB=0, out=None):
    """alpha · A' · B' + beta · C, with A' and B' transposed on request and C broadcast to the product's shape."""
    return _gemm(xp, A, B, C, alpha, beta, transA, transB, out)


@gemm.gradient
def _(g, node, dY):
    """dA' = alpha · dY · B'ᵀ, dB' = alpha · A'ᵀ · dY, each transposed back where A or B was; dC = beta · dY."""
    A, B, C = node.inputs
    alpha, beta, transA, transB = (node.attrs[name] for name in ("alpha", "beta", "transA", "transB"))
    flipA, flipB = int(not transA), int(not transB)
    dA = g.Gemm(B, dY, alpha=alpha, transA=transB, transB=1) if transA else g.Gemm(dY, B, alpha=alpha, transB=flipB)
    dB = g.Gemm(dY, A, alpha=alpha, transA=1, transB=transA) if transB else g.Gemm(A, dY, alpha=alpha, transA=flipA)
    dC = None if C is None else dY if beta == 1 else g.Mul(dY, beta)
    return dA, dB, dC


@op("Det", since=11, differentiable=False)
def det(xp, X):
    """The determinants of square matrices [..., n, n]; that of an empty one is 1."""
    if X.ndim < 2 or X.shape[-1] != X.shape[-2]:
        raise InvalidInput(f"Det: X has shape {list(X.shape)}; expected square matrices, [..., n, n]")
    if X.size == 0:
        return xp.ones(X.shape[:-2], X.dtype)
    return xp.asarray(xp.linalg.det(X.astype(compute_dtype(X.dtype), copy=False))).astype(X.dtype, copy=False)
