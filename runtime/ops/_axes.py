"""Axes, shapes and indices from a model, checked before anything is done with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import limits
from ..errors import InvalidInput, LimitExceeded
from ..inference import constant, value_type
from ..memory import check_room


def axis_in(axis: int, rank: int) -> int:
    """`axis` counted from the front, for a tensor of the given rank.

    Raises:
        InvalidInput: if there is no such axis.
    """
    if not -rank <= axis < rank:
        raise InvalidInput(f"axis {axis} does not exist in a tensor of rank {rank}; expected -{rank} to {rank - 1}")
    return axis % rank


def axes_in(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """All `axes` counted from the front.

    Raises:
        InvalidInput: if one does not exist or occurs twice.
    """
    found = tuple(axis_in(axis, rank) for axis in axes)
    if len(set(found)) < len(found):
        raise InvalidInput(f"axes {list(found)} name an axis twice")
    return found


def shape_from(dims: Iterable[int]) -> tuple[int, ...]:
    """`dims` as a shape.

    Raises:
        InvalidInput: if a dimension is negative.
    """
    shape = tuple(int(d) for d in dims)
    if any(d < 0 for d in shape):
        raise InvalidInput(f"shape {list(shape)} has a negative dimension")
    return shape


def numbers(vector: Any) -> list[Any]:
    """The elements of a host tensor that lists axes, sizes or the like; a scalar is a list of one.

    Raises:
        InvalidInput: if it is neither.
    """
    if vector.ndim > 1:
        raise InvalidInput(f"a list of axes, sizes or indices must be a vector; found shape {list(vector.shape)}")
    return vector.reshape(-1).tolist()


def one(scalar: Any, what: str) -> Any:
    """The only element of a host tensor.

    Raises:
        InvalidInput: if there is none, or another.
    """
    if scalar.size != 1:
        raise InvalidInput(f"{what} has shape {list(scalar.shape)}; expected one number")
    return scalar.reshape(()).item()


def fits(shape: Sequence[int], target: Sequence[int]) -> bool:
    """Whether a tensor of this shape can be broadcast to the shape `target`."""
    padded = (1,) * (len(target) - len(shape)) + tuple(shape)
    return len(padded) == len(target) and all(d in (1, n) for d, n in zip(padded, target, strict=True))


def check_rank(rank: int) -> None:
    """Checks that there can be a tensor of this rank.

    Raises:
        LimitExceeded: if not.
    """
    if rank > limits.RANK:
        raise LimitExceeded(f"a result of {rank} dimensions; at most {limits.RANK} are allowed")


def bounded(dims: Iterable[int], dtype: Any) -> tuple[int, ...]:
    """`dims` as a shape for a result of this dtype, checked before memory is asked for.

    Raises:
        InvalidInput: if a dimension is negative.
        LimitExceeded: if such a tensor is larger than any value may be.
    """
    shape = shape_from(dims)
    check_rank(len(shape))
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    span = math.prod(d for d in shape if d) * np.dtype(dtype).itemsize  # NumPy counts behind a dimension of 0 too
    if nbytes > limits.VALUE_BYTES or span >= 1 << 63:
        raise LimitExceeded(
            f"a result of shape {list(shape)} would take {nbytes:,} bytes; at most {limits.VALUE_BYTES:,} are allowed"
        )
    check_room(nbytes)
    return shape


def same_length(**vectors: Sequence[Any] | None) -> None:
    """Checks that the given vectors, `None` apart, are equally long.

    Raises:
        InvalidInput: if they are not.
    """
    lengths = {name: len(vector) for name, vector in vectors.items() if vector is not None}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InvalidInput(f"these must have equally many elements: {found}")


def in_range(indices: Any, size: int, axis: int) -> Any:
    """`indices` along an axis of the given size, negative ones counted from its end.

    Raises:
        InvalidInput: if one lies outside [-size, size - 1].
    """
    below = indices < 0
    if ((indices < -size) | (indices >= size)).any():
        low, high = int(indices.min()), int(indices.max())
        raise InvalidInput(
            f"indices along axis {axis} run from {low} to {high}, but the axis has {size} elements: "
            f"expected {-size} to {size - 1}"
        )
    return indices + below * size


def inverse(perm: Sequence[int]) -> list[int]:
    """The permutation that undoes `perm`."""
    return sorted(range(len(perm)), key=perm.__getitem__)


def result_shape(node: Any) -> list[Any]:
    """The type of a gradient operator whose second input is the shape of its result; its dtype is that of the first."""
    shape = node.inputs[1]
    known, producer = constant(shape), shape.producer()
    if known is not None:
        return [(node.inputs[0].dtype, tuple(known.tolist()))]
    whole = producer is not None and producer.op_type == "Shape" and not producer.attributes
    return [(node.inputs[0].dtype, value_type(producer.inputs[0])[1] if whole else None)]
