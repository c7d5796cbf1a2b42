"""Multiply-accumulates (MACs) of an operator, from its shapes alone.

One MAC is `a += b * c`, one product of a convolution, matrix product or recurrence. This is what publications count
that speak of multiply-adds, or of 3.8 "GFLOPs" of a ResNet-50 (K. He et al., Deep residual learning for image
recognition, 2016). Integers count like floating-point numbers, and padding like data, as in the published figures. Not
counted: biases, the gates of recurrent layers, the scaling and softmax inside attention, rescaling inside quantised
operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

__all__ = ["MACS", "Call", "Formula", "Key", "Unknown"]

Key = tuple[str, str]
"""(domain, operator)"""
ML, PREVIEW, TRAINING, MICROSOFT = "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft"


class Unknown(Exception):
    """A formula needs a dimension that is not known."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a formula sees of a node: its attributes and the shapes of what goes in and out."""

    node: ir.Node

    def input(self, index: int) -> tuple[int, ...]:
        """The shape of an input.

        Raises:
            Unknown: if it is absent or not known in full.
        """
        return _static(self.node.inputs[index] if index < len(self.node.inputs) else None)

    def output(self, index: int = 0) -> tuple[int, ...]:
        """The shape of an output; errors as `input`."""
        return _static(self.node.outputs[index] if index < len(self.node.outputs) else None)

    def has(self, index: int) -> bool:
        """Whether the optional input is there."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        found = self.node.attributes.get(name)
        return int(found.value) if found is not None and found.type == ir.AttributeType.INT else default

    def ints(self, name: str) -> tuple[int, ...]:
        """An attribute of integers; empty where it is missing."""
        found = self.node.attributes.get(name)
        return tuple(found.value) if found is not None and found.type == ir.AttributeType.INTS else ()

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        found = self.node.attributes.get(name)
        return str(found.value) if found is not None and found.type == ir.AttributeType.STRING else default

    def length(self, name: str) -> int:
        """How many entries a list attribute has."""
        found = self.node.attributes.get(name)
        return len(found.value) if found is not None and isinstance(found.value, (list, tuple)) else 0


def _static(value: ir.Value | None) -> tuple[int, ...]:
    if value is None or value.shape is None:
        raise Unknown
    shape = tuple(d for d in value.shape if isinstance(d, int))
    if len(shape) != len(value.shape):
        raise Unknown
    return shape


Formula = Callable[[Call], int]


def _conv(weights: int) -> Formula:
    """Every output element is a dot product over a window: `numel(Y) * C/group * k1 * k2`; W is `(M, C/group, k…)`."""
    return lambda c: prod(c.output()) * prod(c.input(weights)[1:])


def _conv_transpose(c: Call) -> int:
    """Every input element is spread over a window: `numel(X) * M/group * k1 * k2 …`; W is `(C, M/group, k…)`."""
    return prod(c.input(0)) * prod(c.input(1)[1:])


def _matmul(a: int) -> Formula:
    """`numel(Y) * K`, K being the last dimension of the first factor."""
    return lambda c: prod(c.output()) * _last(c.input(a))


def _gemm(c: Call) -> int:
    """`M * N * K` with K taken from A, transposed or not."""
    return prod(c.output()) * c.input(0)[0 if c.integer("transA", 0) else -1]


def _recurrent(c: Call) -> int:
    """For each step and example `numel(W) + numel(R)`, which holds all gates of all directions; X is `(T, N, I)`."""
    steps, batch = c.input(0)[:2]
    return steps * batch * (prod(c.input(1)) + prod(c.input(2)))


def _attention(c: Call) -> int:
    """`Q Kᵀ` and `P V`: `N * heads * Lq * Lk * (d + dv)`, masked entries included; a cache lengthens Lk."""
    q, k, v = c.input(0), c.input(1), c.input(2)
    cached = c.input(4)[2] if c.has(4) else 0
    if len(q) == 4:
        return q[0] * q[1] * q[2] * (k[2] + cached) * (q[3] + v[3])
    heads, groups = c.integer("q_num_heads", 0), c.integer("kv_num_heads", 0)
    if len(q) != 3 or heads < 1 or groups < 1:
        raise Unknown
    return q[0] * q[1] * (k[1] + cached) * (q[2] + heads * v[2] // groups)


def _linear_attention(c: Call) -> int:
    """For each token and head `k ⊗ v` and `qᵀ S`, `d * dv` each; the delta rules read the state once more."""
    q, v = c.input(0), c.input(2)
    heads, groups = c.integer("q_num_heads", 0), c.integer("kv_num_heads", 0)
    if len(q) != 3 or heads < 1 or groups < 1:
        raise Unknown
    key_width, value_width = q[2] // heads, v[2] // groups
    writes = groups * (2 if "delta" in c.text("update_rule", "gated_delta") else 1)
    return q[0] * q[1] * key_width * value_width * (heads + writes)


def _einsum(c: Call) -> int:
    """The product of all index ranges, once for each factor but the first; 0 where nothing is summed over."""
    left, arrow, right = c.text("equation", "").replace(" ", "").partition("->")
    terms = left.split(",")
    sizes: dict[str, int] = {}
    for i, term in enumerate(terms):
        shape, letters = c.input(i), term.replace("...", "")
        extra = len(shape) - len(letters)
        before = term.partition("...")[0]
        names = [*before, *(f".{extra - j}" for j in range(extra)), *term[len(before) :].replace("...", "")]
        for name, size in zip(names, shape, strict=False):
            sizes[name] = max(size, sizes.get(name, 1)) if size else 0
    kept = set(right) if arrow else {n for n in sizes if left.count(n) == 1}
    if len(terms) < 2 or not any(n not in kept for n in sizes if not n.startswith(".")):
        return 0
    return prod(sizes.values()) * (len(terms) - 1)


def _affine_grid(c: Call) -> int:
    """Each coordinate is a dot product with a point `(x, y, 1)`."""
    return prod(c.output()) * _last(c.input(0))


def _linear_model(c: Call) -> int:
    """One dot product per example and class: `N * numel(coefficients)`."""
    return _rows(c.input(0)) * c.length("coefficients")


def _support_vectors(c: Call) -> int:
    """Each example with each support vector, `N * numel(support_vectors)`, and the weighted sums of those."""
    return _rows(c.input(0)) * (c.length("support_vectors") + c.length("coefficients"))


def _nbits(c: Call) -> int:
    """`numel(Y) * K`."""
    return prod(c.output()) * c.integer("K", 0)


def _last(shape: tuple[int, ...]) -> int:
    if not shape:
        raise Unknown
    return shape[-1]


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) > 1 else 1


MACS: dict[Key, Formula] = {
    ("", "Conv"): _conv(1),
    ("", "ConvInteger"): _conv(1),
    ("", "QLinearConv"): _conv(3),
    ("", "DeformConv"): _conv(1),
    ("", "CausalConvWithState"): _conv(1),
    ("", "ConvTranspose"): _conv_transpose,
    ("", "MatMul"): _matmul(0),
    ("", "MatMulInteger"): _matmul(0),
    ("", "QLinearMatMul"): _matmul(0),
    ("", "Gemm"): _gemm,
    ("", "Einsum"): _einsum,
    ("", "RNN"): _recurrent,
    ("", "GRU"): _recurrent,
    ("", "LSTM"): _recurrent,
    ("", "Attention"): _attention,
    ("", "LinearAttention"): _linear_attention,
    ("", "AffineGrid"): _affine_grid,
    (PREVIEW, "FlexAttention"): _attention,
    (ML, "LinearClassifier"): _linear_model,
    (ML, "LinearRegressor"): _linear_model,
    (ML, "SVMClassifier"): _support_vectors,
    (ML, "SVMRegressor"): _support_vectors,
    (MICROSOFT, "FusedConv"): _conv(1),
    (MICROSOFT, "FusedGemm"): _gemm,
    (MICROSOFT, "FusedMatMul"): _matmul(0),
    (MICROSOFT, "MatMulNBits"): _nbits,
}
"""The operators that multiply and accumulate; all others have 0 MACs."""
