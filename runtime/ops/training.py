"""Operators that only training graphs contain."""

from __future__ import annotations

from ..errors import InvalidInput
from ..inference import constant
from .registry import GRAD_DOMAIN, op


def _shape_from_input(node):
    wanted = constant(node.inputs[1])
    return [(node.inputs[0].dtype, None if wanted is None else tuple(wanted.tolist()))]


@op("SumTo", since=1, domain=GRAD_DOMAIN, host=(1,), view=True, infer=_shape_from_input)
def sum_to(xp, X, shape):
    """Sums X over the axes along which a tensor of the given shape would be broadcast to X; the inverse of `Expand`."""
    target = tuple(shape.tolist())
    if X.shape == target:
        return X
    extra = X.ndim - len(target)
    if extra < 0 or any(w not in (1, h) for h, w in zip(X.shape[extra:], target, strict=True)):
        raise InvalidInput(f"a tensor of shape {list(target)} does not broadcast to {list(X.shape)}")
    stretched = tuple(
        i for i, (h, w) in enumerate(zip(X.shape[extra:], target, strict=True), extra) if w == 1 and h != 1
    )
    return xp.sum(X, axis=tuple(range(extra)) + stretched).reshape(target)


@sum_to.gradient
def _(g, node, dY):
    """dX = dY, broadcast"""
    return g.Expand(dY, g.shape_of(node.inputs[0]))
