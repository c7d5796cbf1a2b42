"""Operators that give a tensor another shape, tell its shape, or make a tensor from one."""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import numpy_dtype
from ..errors import InvalidGraph, InvalidInput, UnsupportedOperator
from ..inference import constant
from ._axes import axes_in, bounded, check_rank, inverse, numbers, one
from .registry import op

# ---- made from nothing


def _text(array):
    """A tensor of strings as an object array of `str`, whatever the file's reader made of it."""
    plain = [
        s.decode("utf-8", "surrogateescape") if isinstance(s, bytes) else str(s) for s in array.reshape(-1).tolist()
    ]
    made = np.empty(len(plain), object)
    made[:] = plain
    return made.reshape(array.shape)


_CONSTANTS = {
    "value": lambda v: _text(v) if v.dtype.kind in "OSUT" else np.array(v),
    "value_float": np.float32,
    "value_floats": lambda v: np.asarray(v, np.float32),
    "value_int": np.int64,
    "value_ints": lambda v: np.asarray(v, np.int64),
    "value_string": lambda v: _text(np.asarray(v, object)),
    "value_strings": lambda v: _text(np.asarray(v, object)),
}


def _constant(xp, sparse_value=None, **forms):
    if sparse_value is not None:
        raise UnsupportedOperator("Constant with a sparse_value is not implemented; store the tensor densely, as value")
    given = {name: value for name, value in forms.items() if value is not None}
    if len(given) != 1:
        raise InvalidGraph(f"Constant needs exactly one of {', '.join(_CONSTANTS)}; found {', '.join(given) or 'none'}")
    ((name, value),) = given.items()
    made = np.asarray(_CONSTANTS[name](value))
    return made if made.dtype == object else xp.asarray(made)


@op("Constant", since=1, differentiable=False)
def constant_1(xp, *, value):
    """The tensor in the attribute."""
    return _constant(xp, value=value)


@op("Constant", since=11, differentiable=False)
def constant_11(xp, *, value=None, sparse_value=None):
    """The tensor in the attribute."""
    return _constant(xp, sparse_value, value=value)


@op("Constant", since=12, differentiable=False)
def constant_12(
    xp,
    *,
    value=None,
    value_float=None,
    value_floats=None,
    value_int=None,
    value_ints=None,
    value_string=None,
    value_strings=None,
    sparse_value=None,
):
    """The tensor, number, text or list in the one attribute that is given."""
    numbers = {
        "value_float": value_float,
        "value_floats": value_floats,
        "value_int": value_int,
        "value_ints": value_ints,
    }
    return _constant(xp, sparse_value, value=value, **numbers, value_string=value_string, value_strings=value_strings)


@op("ConstantOfShape", since=9, host=(0,), differentiable=False)
def constant_of_shape(xp, input, *, value=None, out=None):
    """A tensor of the given shape, all elements equal to `value` (default: float32 zero)."""
    value = np.zeros(1, np.float32) if value is None else value
    if value.size != 1:
        raise InvalidGraph(f"value of ConstantOfShape must have one element; found shape {list(value.shape)}")
    out = xp.empty(bounded(numbers(input), value.dtype), value.dtype) if out is None else out
    out[...] = value.reshape(-1)[0]
    return out


@op("EyeLike", since=9, inert=True)
def eye_like(xp, input, *, dtype=None, k=0):
    """Ones on the k-th diagonal, zeros elsewhere, in the shape of a matrix."""
    if input.ndim != 2:
        raise InvalidInput(f"EyeLike needs a matrix; found rank {input.ndim}")
    return xp.eye(*input.shape, k=k, dtype=input.dtype if dtype is None else numpy_dtype(dtype))


@eye_like.gradient
def _(g, node, dY):
    """dX = 0: only the shape of the input matters."""
    return g.zeros_like(node.inputs[0])


def _range_type(node):
    """A vector; its length where all inputs are known. The function bodies of the specification give vectors of one
    element where it asks for scalars."""
    known = [constant(value) for value in node.inputs]
    dtype = node.inputs[0].dtype
    if any(x is None or x.size != 1 for x in known):
        return [(dtype, (None,))]
    return [(dtype, (_count(*(x.reshape(-1).tolist()[0] for x in known)),))]


def _count(first, last, step):
    """How many numbers there are from `first` by `step` to `last`, exclusive."""
    if step == 0 or not math.isfinite(float(last) - float(first)) or not math.isfinite(step):
        raise InvalidInput(f"Range from {first} to {last} by {step} does not end; delta must be finite and not zero")
    return max(0, -((first - last) // step) if isinstance(step, int) else math.ceil((last - first) / step))


def _range(xp, start, limit, delta, dtype):
    """start + i·delta, in float64 or int64, then rounded to `dtype`."""
    first, last, step = map(one, (start, limit, delta), ("start", "limit", "delta"))
    (count,) = bounded([_count(first, last, step)], np.float64)
    wide = np.arange(count, dtype=np.int64 if isinstance(step, int) else np.float64) * step + first
    return xp.asarray(wide.astype(dtype))


@op("Range", since=11, host=(0, 1, 2), infer=_range_type)
def range_11(xp, start, limit, delta):
    """start, start + delta, ... up to but without limit."""
    return _range(xp, start, limit, delta, start.dtype)


@range_11.gradient
def _(g, node, dY):
    """dstart = Σ dYᵢ, dlimit = 0, ddelta = Σ i·dYᵢ"""
    i = g.Cast(g.Range(0, g.Size(dY), 1), to=dY.dtype.value)
    return (
        g.ReduceSum(dY, keepdims=0),
        g.zeros_like(node.inputs[1]),
        g.ReduceSum(g.Mul(dY, i), keepdims=0),
    )


@op("Range", since=27, host=(0, 1, 2), infer=_range_type)
def range_27(xp, start, limit, delta, *, stash_type=1):
    """start, start + delta, ... up to but without limit; always computed at least as exactly as `stash_type` asks."""
    return _range(xp, start, limit, delta, start.dtype)


# ---- shapes as values


@op("Shape", since=1, inert=True, differentiable=False)
def shape_1(xp, data):
    """The dimensions, as an int64 vector."""
    return xp.asarray(np.asarray(data.shape, np.int64))


@op("Shape", since=15, inert=True, differentiable=False)
def shape_15(xp, data, *, start=0, end=None):
    """The dimensions `start` to `end`, as an int64 vector; out of range they are clamped."""
    return xp.asarray(np.asarray(data.shape[start:end], np.int64))


@op("Size", since=1, inert=True, differentiable=False)
def size(xp, data):
    """The number of elements, as an int64 scalar."""
    return xp.asarray(np.asarray(math.prod(data.shape), np.int64))


# ---- the same elements in another shape


def _like(g, dY, x):
    """dY in the shape of x; `allowzero` makes dimensions of size 0 mean themselves."""
    return g.Reshape(dY, g.shape_of(x), allowzero=1)


def _reshape(data, shape, allowzero=0):
    wanted = [int(d) for d in shape]
    copied = [] if allowzero else [i for i, d in enumerate(wanted) if d == 0]
    if wanted.count(-1) > 1 or min(wanted, default=0) < -1 or (allowzero and {0, -1} <= set(wanted)):
        raise InvalidInput(f"{wanted} is not a shape: at most one dimension may be -1, none less, and no 0 beside a -1")
    if copied and copied[-1] >= data.ndim:
        raise InvalidInput(f"shape {wanted} copies dimension {copied[-1]} of a tensor of rank {data.ndim}")
    given = math.prod(d for d in wanted if d > 0)
    if -1 in wanted and given:
        rest = math.prod(d for i, d in enumerate(data.shape) if i not in copied)
        wanted[wanted.index(-1)] = rest // given
    target = bounded([data.shape[i] if i in copied else d for i, d in enumerate(wanted)], data.dtype)
    if math.prod(target) != math.prod(data.shape):
        raise InvalidInput(f"a tensor of shape {list(data.shape)} cannot be reshaped to {[int(d) for d in shape]}")
    return data.reshape(target)


@op("Reshape", since=1, view=True)
def reshape_1(xp, data, *, shape=None, consumed_inputs=None):
    """The elements in another shape; 0 copies a dimension, -1 is what remains."""
    if shape is None:
        raise InvalidGraph("Reshape needs the attribute 'shape' before opset 5")
    return _reshape(data, shape)


@op("Reshape", since=5, host=(1,), view=True)
def reshape_5(xp, data, shape):
    """The elements in another shape; 0 copies a dimension, -1 is what remains."""
    return _reshape(data, numbers(shape))


@op("Reshape", since=14, host=(1,), view=True)
def reshape_14(xp, data, shape, *, allowzero=0):
    """The elements in another shape; -1 is what remains, 0 copies a dimension, or with `allowzero` means none."""
    return _reshape(data, numbers(shape), allowzero)


@reshape_14.gradient
def _(g, node, dY):
    """dX = dY in the shape of X"""
    return _like(g, dY, node.inputs[0])


@op("Flatten", since=1, view=True)
def flatten(xp, input, *, axis=1):
    """A matrix: the dimensions before `axis` are its rows."""
    if not -input.ndim <= axis <= input.ndim:
        raise InvalidInput(f"axis {axis} of Flatten lies outside -{input.ndim} to {input.ndim}")
    axis = axis + input.ndim if axis < 0 else axis
    return input.reshape((math.prod(input.shape[:axis]), math.prod(input.shape[axis:])))


@flatten.gradient
def _(g, node, dY):
    """dX = dY in the shape of X"""
    return _like(g, dY, node.inputs[0])


def _squeeze(data, axes):
    axes = [i for i, d in enumerate(data.shape) if d == 1] if axes is None else axes_in(axes, data.ndim)
    for axis in axes:
        if data.shape[axis] != 1:
            raise InvalidInput(
                f"axis {axis} of a tensor of shape {list(data.shape)} cannot be squeezed; its size is not 1"
            )
    return data.reshape(tuple(d for i, d in enumerate(data.shape) if i not in axes))


@op("Squeeze", since=1, view=True)
def squeeze_1(xp, data, *, axes=None):
    """Without the given axes of size 1 (default: all of them)."""
    return _squeeze(data, axes)


@op("Squeeze", since=13, host=(1,), view=True)
def squeeze_13(xp, data, axes=None):
    """Without the given axes of size 1 (default: all of them)."""
    return _squeeze(data, None if axes is None else numbers(axes))


@squeeze_13.gradient
def _(g, node, dY):
    """dX = dY in the shape of X"""
    return _like(g, dY, node.inputs[0])


def _unsqueeze(data, axes):
    rank = data.ndim + len(axes)
    check_rank(rank)
    axes = axes_in(axes, rank)
    old = iter(data.shape)
    return data.reshape(tuple(1 if i in axes else next(old) for i in range(rank)))


@op("Unsqueeze", since=1, view=True)
def unsqueeze_1(xp, data, *, axes):
    """With axes of size 1 at the given places of the result."""
    return _unsqueeze(data, axes)


@op("Unsqueeze", since=13, host=(1,), view=True)
def unsqueeze_13(xp, data, axes):
    """With axes of size 1 at the given places of the result."""
    return _unsqueeze(data, numbers(axes))


@unsqueeze_13.gradient
def _(g, node, dY):
    """dX = dY in the shape of X"""
    return _like(g, dY, node.inputs[0])


@op("Identity", since=1, view=True)
def identity(xp, input):
    """The input itself."""
    return input


@identity.gradient
def _(g, node, dY):
    """dX = dY"""
    return dY


@op("Transpose", since=1, view=True)
def transpose(xp, data, *, perm=None):
    """Axis i of the result is axis perm[i] of the input; by default the axes are reversed."""
    if perm is not None and sorted(perm) != list(range(data.ndim)):
        raise InvalidInput(f"perm {list(perm)} is not a permutation of the {data.ndim} axes")
    return xp.transpose(data, perm)


@transpose.gradient
def _(g, node, dY):
    """dX = dY transposed back"""
    perm = node.attrs["perm"]
    return g.Transpose(dY) if perm is None else g.Transpose(dY, perm=inverse(perm))


def _depth_to_space(xp, input, blocksize, mode):
    n, c, h, w = _image(input)
    b = blocksize
    if mode not in ("DCR", "CRD") or b < 1 or c % (b * b):
        raise InvalidInput(
            f"DepthToSpace cannot make blocks of {b}x{b} from {c} channels in mode {mode!r}; "
            "expected a multiple of the block's area, and DCR or CRD"
        )
    if mode == "DCR":
        blocks = input.reshape((n, b, b, c // (b * b), h, w)).transpose((0, 3, 4, 1, 5, 2))
    else:
        blocks = input.reshape((n, c // (b * b), b, b, h, w)).transpose((0, 1, 4, 2, 5, 3))
    return blocks.reshape((n, c // (b * b), h * b, w * b))


def _space_to_depth(xp, input, blocksize, mode):
    n, c, h, w = _image(input)
    b = blocksize
    if mode not in ("DCR", "CRD") or b < 1 or h % b or w % b:
        raise InvalidInput(
            f"SpaceToDepth cannot cut a {h}x{w} image into blocks of {b}x{b} in mode {mode!r}; "
            "expected multiples of the blocksize, and DCR or CRD"
        )
    blocks = input.reshape((n, c, h // b, b, w // b, b))
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return blocks.transpose(order).reshape((n, c * b * b, h // b, w // b))


def _image(input):
    if input.ndim != 4:
        raise InvalidInput(f"expected a tensor of shape [N, C, H, W]; found {list(input.shape)}")
    return input.shape


@op("DepthToSpace", since=1, view=True)
def depth_to_space_1(xp, input, *, blocksize):
    """[N, C·b², H, W] → [N, C, H·b, W·b]; the channels are ordered (block row, block column, channel)."""
    return _depth_to_space(xp, input, blocksize, "DCR")


@op("DepthToSpace", since=11, view=True)
def depth_to_space_11(xp, input, *, blocksize, mode="DCR"):
    """[N, C·b², H, W] → [N, C, H·b, W·b]; `mode` DCR: the block comes first among the channels, CRD: last."""
    return _depth_to_space(xp, input, blocksize, mode)


@depth_to_space_11.gradient
def _(g, node, dY):
    """dX = dY, every block back in the depth"""
    x, b = node.inputs[0], node.attrs["blocksize"]
    deep = g.SpaceToDepth(dY, blocksize=b)
    if node.attrs["mode"] == "DCR":
        return deep
    (channels,) = node.static_shape(0, slice(1, 2))
    return _like(g, g.Transpose(g.Reshape(deep, [0, b * b, channels // (b * b), -1]), perm=[0, 2, 1, 3]), x)


@op("SpaceToDepth", since=1, view=True)
def space_to_depth_1(xp, input, *, blocksize):
    """[N, C, H, W] → [N, b²·C, H/b, W/b]; the channels are ordered (block row, block column, channel)."""
    return _space_to_depth(xp, input, blocksize, "DCR")


@space_to_depth_1.gradient
def _(g, node, dY):
    """dX = dY, the depth back in the blocks"""
    return g.DepthToSpace(dY, blocksize=node.attrs["blocksize"], mode="DCR")


@op("SpaceToDepth", since=28, view=True)
def space_to_depth_28(xp, input, *, blocksize, mode="DCR"):
    """[N, C, H, W] → [N, C·b², H/b, W/b]; `mode` DCR: the block comes first among the channels, CRD: last."""
    return _space_to_depth(xp, input, blocksize, mode)
