"""What operators had in common before opset 8: hints on memory, broadcasting asked for by attributes."""

from __future__ import annotations

import inspect
from typing import Any

from ..errors import InvalidInput
from .registry import Operator, op


def consumed_inputs(operator: Operator) -> None:
    """Registers version 1 of an operator: the given one plus `consumed_inputs`, a hint without meaning."""

    def kernel(xp, *inputs, consumed_inputs=None, **attributes):
        return operator.kernel(xp, *inputs, **attributes)

    signature = inspect.signature(operator.kernel)
    hint = inspect.Parameter("consumed_inputs", inspect.Parameter.KEYWORD_ONLY, default=None)
    vars(kernel)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), hint])
    traits: dict[str, Any] = {"inplace": operator.inplace, "differentiable": operator.differentiable}
    op(operator.name, since=1, **traits)(kernel)


def limited_broadcast(operator: Operator, since: int) -> Operator:
    """Registers the version of a binary operator in which `axis` and `broadcast` place B along A's dimensions."""

    def kernel(xp, A, B, *, axis=None, broadcast=0, out=None):
        return operator.kernel(xp, A, aligned(A, B, axis, broadcast), out=out)

    traits: dict[str, Any] = {"inplace": operator.inplace, "differentiable": operator.differentiable}
    return op(operator.name, since=since, **traits)(kernel)


def aligned(A, B, axis, broadcast):
    """B shaped so that plain broadcasting lines it up with A.

    B has one element, or its shape fits a contiguous part of A's: from `axis` on, else the last dimensions. The
    specification rules out that B's dimensions of 1 are stretched; models that rely on it exist, so they are.

    Raises:
        InvalidInput: if it is neither; without `broadcast`, if the shapes differ.
    """
    if A.shape == B.shape:
        return B
    if broadcast and B.size == 1:
        return B.reshape(())
    start = A.ndim - B.ndim if axis is None else axis + A.ndim * (axis < 0)
    end = start + B.ndim
    fits = start >= 0 and end <= A.ndim and all(b in (1, a) for a, b in zip(A.shape[start:end], B.shape, strict=True))
    if not broadcast or not fits:
        raise InvalidInput(
            f"B of shape {list(B.shape)} does not fit A of shape {list(A.shape)} with broadcast={broadcast}, "
            f"axis={axis}; expected equal shapes, or with broadcast=1 a contiguous part of A's shape starting at axis"
        )
    return B.reshape(B.shape + (1,) * (A.ndim - end))
