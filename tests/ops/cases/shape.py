"""Shapes, constants, and the same elements in another shape."""

from __future__ import annotations

import numpy as np

from ..table import Case, case, ints, real

TEXT = np.array([["a", "bc", ""], ["é", "e", "f"]], object)
HOLES = real(2, 0, 3)


def _blocks_last(x, blocksize, mode):
    n, c, h, w = x.shape
    b = blocksize
    return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 1, 3, 5, 2, 4).reshape(n, c * b * b, h // b, w // b)


def _counted(start, limit, delta, stash_type=1):
    return np.arange(start, limit, delta)


CASES: list[Case] = [
    case("Constant", opset=1, value=real(2, 3).astype(np.float32)),
    case("Constant", opset=11, value=ints(2, 2)),
    case("Constant", value=np.array(1.5, np.float16)),
    case("Constant", value=TEXT, expect=lambda value: value, name="strings"),
    case("Constant", value_float=2.5, name="float"),
    case("Constant", value_floats=[1.5, -2.0], name="floats"),
    case("Constant", value_int=-3, name="int"),
    case("Constant", value_ints=[1, 2, 3], name="ints"),
    case("Constant", value_string="née", expect=lambda value_string: np.array(value_string, object), name="string"),
    case(
        "Constant", value_strings=["a", "b"], expect=lambda value_strings: np.array(value_strings, object), name="texts"
    ),
    case("ConstantOfShape", [2, 3], opset=9),
    case("ConstantOfShape", [2, 0, 1], value=np.array([7], np.int32), name="int32"),
    case("ConstantOfShape", np.zeros(0, np.int64), value=np.array([True]), name="scalar"),
    case("EyeLike", real(3, 4), opset=9, grad=(0,)),
    case("EyeLike", ints(4, 3), k=-1, dtype=1, name="dtype"),
    case("EyeLike", real(2, 3), k=5, name="beyond"),
    case("Range", 1.0, 10.0, 2.5, opset=11, grad=(0, 1, 2)),
    case("Range", np.array(10), np.array(4), np.array(-2), name="down"),
    case("Range", np.array(5), np.array(5), np.array(1), name="nothing"),
    case("Range", 0.5, 2.75, 0.75, opset=27, expect=_counted),
    case("Shape", real(2, 3), opset=1),
    case("Shape", real(2, 3, 4), opset=15, start=-2, end=7),
    case("Shape", real(), name="scalar"),
    case("Size", real(2, 0, 3)),
    case("Size", ints(2, 3), opset=1),
    case("Reshape", real(2, 3), opset=1, shape=[3, -1], expect=lambda x, shape: x.reshape(shape)),
    case("Reshape", real(2, 3, 4), [0, -1], opset=5),
    case("Reshape", real(2, 3, 4), [4, 0, -1], grad=(0,), expect=lambda x, shape: x.reshape(4, 3, 2)),
    case("Reshape", HOLES, [3, 0, 5], allowzero=1, name="allowzero"),
    case("Reshape", real(0, 2, 3), [0, -1], expect=lambda x, shape: x.reshape(0, 6), name="empty batch"),
    case("Reshape", real(1), np.zeros(0, np.int64), grad=(0,), name="to scalar"),
    case("Reshape", TEXT, [3, 2], name="strings"),
    case("Flatten", real(2, 3, 4), opset=1),
    case("Flatten", real(2, 3, 4), axis=-1, grad=(0,), name="axis from the end"),
    case("Flatten", real(2, 3), axis=0, name="one row"),
    case("Flatten", real(), axis=0, name="scalar"),
    case("Squeeze", real(1, 2, 1), opset=1, axes=[0]),
    case("Squeeze", real(1, 2, 1), opset=11, axes=[-1]),
    case("Squeeze", real(1, 2, 1), [0, -1], grad=(0,)),
    case("Squeeze", real(1, 2, 1), name="all"),
    case("Unsqueeze", real(2, 3), opset=1, axes=[0, 3]),
    case("Unsqueeze", real(2, 3), [-1, 1], grad=(0,)),
    case("Unsqueeze", ints(2), np.array(0), expect=lambda x, axes: x[None], name="scalar axis"),
    case("Identity", real(2, 3), opset=1),
    case("Identity", real(2, 3), grad=(0,)),
    case("Identity", TEXT, name="strings"),
    case("Transpose", real(2, 3, 4), opset=1),
    case("Transpose", real(2, 3, 4), perm=[1, 2, 0], grad=(0,), name="perm"),
    case("Transpose", real(2, 3), grad=(0,)),
    case("Transpose", real(), name="scalar"),
    case("DepthToSpace", real(1, 8, 2, 3), opset=1, blocksize=2),
    case("DepthToSpace", real(2, 8, 2, 3), blocksize=2, grad=(0,)),
    case("DepthToSpace", real(2, 8, 1, 3), blocksize=2, mode="CRD", grad=(0,), name="CRD"),
    case("SpaceToDepth", real(2, 3, 4, 6), opset=1, blocksize=2),
    case("SpaceToDepth", real(1, 2, 4, 2), blocksize=2, grad=(0,)),
    case("SpaceToDepth", real(2, 3, 4, 6), opset=28, blocksize=2, mode="CRD", expect=_blocks_last),
]
