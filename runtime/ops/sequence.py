"""Sequences (lists of tensors) and optional values (a value, or None).

A sequence is never changed: operators make new lists. A tensor put into one is copied, so that the list owns it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..dtypes import numpy_dtype
from ..errors import InvalidInput
from ._axes import axis_in
from .registry import op


def _place(position, length, what):
    """A position in a sequence, counted from the front; `length` positions exist."""
    if position.size != 1:
        raise InvalidInput(f"{what}: expected a scalar; found shape {list(position.shape)}")
    index = int(position.reshape(()))
    if not -length <= index < length:
        raise InvalidInput(f"{what} is {index}; a sequence of this length has positions {-length} to {length - 1}")
    return index % length


@op("SequenceConstruct", since=11, differentiable=False)
def sequence_construct(xp, *inputs):
    """The inputs as a sequence."""
    if len({x.dtype for x in inputs}) > 1:
        raise InvalidInput(f"tensors of a sequence have one data type; found {sorted({str(x.dtype) for x in inputs})}")
    return [x.copy() for x in inputs]


@op("SequenceEmpty", since=11, differentiable=False)
def sequence_empty(xp, *, dtype=1):
    """A sequence without tensors; `dtype` is the type of those that may be inserted."""
    numpy_dtype(dtype)
    return []


@op("SequenceAt", since=11, host=(1,), view=True, differentiable=False)
def sequence_at(xp, input_sequence, position):
    """The tensor at a position; negative ones count from the end."""
    if not input_sequence:
        raise InvalidInput("there is nothing at any position of an empty sequence")
    return input_sequence[_place(position, len(input_sequence), "position")]


@op("SequenceInsert", since=11, host=(2,), view=True, differentiable=False)
def sequence_insert(xp, input_sequence, tensor, position=None):
    """The sequence with a tensor before the given position, by default at the end."""
    if input_sequence and input_sequence[0].dtype != tensor.dtype:
        raise InvalidInput(f"a tensor of {tensor.dtype} was inserted into a sequence of {input_sequence[0].dtype}")
    count = len(input_sequence)
    at = count
    if position is not None and int(position.reshape(-1)[0] if position.size == 1 else 0) != count:
        at = _place(position, count, "position")
    return [*input_sequence[:at], tensor.copy(), *input_sequence[at:]]


@op("SequenceErase", since=11, host=(1,), view=True, differentiable=False)
def sequence_erase(xp, input_sequence, position=None):
    """The sequence without the tensor at a position, by default the last."""
    if not input_sequence:
        raise InvalidInput("nothing can be erased from an empty sequence")
    count = len(input_sequence)
    at = count - 1 if position is None else _place(position, count, "position")
    return [*input_sequence[:at], *input_sequence[at + 1 :]]


@op("SequenceLength", since=11, differentiable=False)
def sequence_length(xp, input_sequence):
    """How many tensors there are, as an int64 scalar."""
    return xp.asarray(len(input_sequence), dtype=np.int64)


@op("SplitToSequence", since=11, host=(1,), view=True, differentiable=False)
def split_to_sequence(xp, input, split=None, *, axis=0, keepdims=1):
    """Parts of the input along an axis: of the lengths `split` lists, each `split` long, or each 1 long.

    `keepdims=0` drops the axis of parts of length 1, if no `split` is given.
    """
    axis = axis_in(axis, input.ndim)
    length = input.shape[axis]
    bounds = np.cumsum([0, *_lengths(length, split)])
    at = (slice(None),) * axis
    if split is None and not keepdims:
        return [input[(*at, i)] for i in range(length)]
    return [input[(*at, slice(start, stop))] for start, stop in pairwise(bounds)]


def _lengths(length, split):
    if split is None:
        return [1] * length
    if split.ndim > 1 or (split.size and int(split.min()) < 0):
        raise InvalidInput(f"split must be a length or a vector of lengths; found {split.tolist()}")
    if split.ndim == 1:
        if int(split.sum()) != length:
            raise InvalidInput(f"split {split.tolist()} adds up to {int(split.sum())}; the axis has {length} elements")
        return split.tolist()
    part = int(split)
    if part < 1:
        raise InvalidInput(f"split is {part}; expected the length of a part, 1 or more")
    return [min(part, length - start) for start in range(0, length, part)]


@op("ConcatFromSequence", since=11, differentiable=False)
def concat_from_sequence(xp, input_sequence, *, axis, new_axis=0):
    """The tensors of a sequence joined along an existing axis, or stacked along a new one."""
    if not input_sequence:
        raise InvalidInput("an empty sequence cannot be joined: its shape is unknown")
    axis = axis_in(axis, input_sequence[0].ndim + bool(new_axis))
    shapes = {(*x.shape[:axis], *x.shape[axis + (not new_axis) :]) for x in input_sequence}
    if len(shapes) > 1 or len({x.ndim for x in input_sequence}) > 1:
        found = [list(x.shape) for x in input_sequence]
        raise InvalidInput(f"tensors of shapes {found} cannot be joined along axis {axis}")
    return xp.stack(input_sequence, axis=axis) if new_axis else xp.concatenate(input_sequence, axis=axis)


@op("Optional", since=15, view=True, differentiable=False)
def optional(xp, input=None, *, type=None):
    """The input as an optional value; without one, an empty value of the given type."""
    return input


@op("OptionalGetElement", since=15, view=True, differentiable=False)
def optional_get_element(xp, input):
    """What an optional value holds."""
    if input is None:
        raise InvalidInput("the optional value is empty; test it with OptionalHasElement first")
    return input


@op("OptionalHasElement", since=15, differentiable=False)
def optional_has_element(xp, input=None):
    """Whether an optional value holds anything."""
    return xp.asarray(input is not None)
