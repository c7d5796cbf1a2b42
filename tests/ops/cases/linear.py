"""MatMul for all combinations of ranks, Gemm with all its switches, Det."""

from __future__ import annotations

import numpy as np

from ..table import case, ints, real

RANKS = [
    ("matrices", (3, 4), (4, 2)),
    ("vectors", (4,), (4,)),
    ("vector-matrix", (4,), (4, 2)),
    ("matrix-vector", (3, 4), (4,)),
    ("vector-batch", (4,), (2, 4, 3)),
    ("batch-vector", (2, 3, 4), (4,)),
    ("batch-matrix", (2, 3, 4), (4, 2)),
    ("matrix-batch", (3, 4), (2, 4, 2)),
    ("batches", (2, 3, 4), (2, 4, 2)),
    ("broadcast", (2, 1, 2, 3), (3, 3, 2)),
    ("batches-one-matrix", (2, 2, 2, 3), (3, 2)),
    ("one-row-one-column", (1, 3), (3, 1)),
]

CASES = [
    *(case("MatMul", real(*a), real(*b, key="B"), grad=(0, 1), name=name) for name, a, b in RANKS),
    case("MatMul", real(2, 3), real(3, 2), opset=1, name="first-version"),
    case("MatMul", ints(2, 3), ints(3, 2, key="B"), opset=9, name="integers"),
    case("MatMul", real(2, 0), real(0, 3), name="empty-sum"),
    case("MatMul", real(0, 2, 3), real(3, 2), name="empty-batch"),
    case("MatMul", real(2, 2, 3), real(3, 2), dtypes=("float16", "bfloat16"), name="half"),
    case(
        "Gemm",
        real(2, 3),
        real(3, 4),
        real(2, 4),
        opset=1,
        alpha=0.5,
        beta=2.0,
        expect=lambda A, B, C, **_: A @ B / 2 + 2 * C,
        name="full-bias",
    ),
    case("Gemm", real(2, 3), real(3, 4), real(4), opset=6, broadcast=1, name="broadcast"),
    case("Gemm", real(3, 2), real(4, 3), real(1, 4), opset=7, transA=1, transB=1, name="transposed"),
    case(
        "Gemm",
        ints(2, 3, dtype=np.int32),
        ints(3, 4, dtype=np.int32),
        ints(4, dtype=np.int32),
        opset=9,
        name="integers",
    ),
    case("Gemm", real(2, 3), real(3, 4), opset=11, grad=(), name="no-bias-11"),
    case("Gemm", real(2, 3), real(3, 4), grad=(0, 1), name="no-bias"),
    case("Gemm", real(2, 3), real(3, 4), real(4), grad=(0, 1, 2), name="vector-bias"),
    case("Gemm", real(3, 2), real(3, 4), real(), grad=(0, 1, 2), transA=1, alpha=0.5, name="scalar-bias"),
    case("Gemm", real(2, 3), real(4, 3), real(2, 1), grad=(0, 1, 2), transB=1, beta=0.25, name="column-bias"),
    case(
        "Gemm",
        real(3, 2),
        real(4, 3),
        real(2, 4),
        grad=(0, 1, 2),
        transA=1,
        transB=1,
        alpha=-1.5,
        beta=0.5,
        name="both",
    ),
    case("Gemm", real(2, 3), real(3, 4), real(4), dtypes=("float16", "bfloat16"), name="half"),
    case("Det", real(2, 2), opset=11),
    case("Det", real(3, 2, 4, 4), name="batches"),
    case("Det", np.array([[0.0, 2, 0], [0, 0, 3], [4, 0, 0]]), expect=lambda X: 24.0, name="permutation"),
    case(
        "Det", np.array([[[1.0, 2], [2, 4]], [[1, 2], [3, 4]]]), expect=lambda X: np.array([0.0, -2]), name="singular"
    ),
    case("Det", real(2, 1, 1), expect=lambda X: X[:, 0, 0], name="one element"),
    case("Det", real(2, 0, 0), expect=lambda X: np.ones(2), name="nothing"),
    case("Det", real(0, 2, 2), expect=lambda X: np.ones(0), name="empty-batch"),
    case("Det", real(2, 3, 3), opset=22, dtypes=("float16", "bfloat16"), name="half"),
]
