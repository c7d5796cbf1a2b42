"""The one case table, family by family, as in `runtime/ops`."""

from __future__ import annotations

from ..table import Case
from . import (
    activation,
    casting,
    convolution,
    einsum,
    elementwise,
    grad,
    image,
    indexing,
    linear,
    logic,
    loss,
    normalization,
    pooling,
    random,
    reduction,
    shape,
    slicing,
    training,
)

CASES: list[Case] = [
    *elementwise.CASES,
    *logic.CASES,
    *casting.CASES,
    *activation.CASES,
    *linear.CASES,
    *convolution.CASES,
    *pooling.CASES,
    *normalization.CASES,
    *reduction.CASES,
    *shape.CASES,
    *slicing.CASES,
    *einsum.CASES,
    *indexing.CASES,
    *image.CASES,
    *loss.CASES,
    *random.CASES,
    *grad.CASES,
    *training.CASES,
]
