"""Convolutions: strides, dilations, groups, every kind of padding, one to four spatial axes."""

from __future__ import annotations

from itertools import product

import numpy as np

from ..table import Array, Case, case, real

NARROW = ("float64", "float32", "float16")
BFLOAT16 = ("float32", "bfloat16")


def transposed(begin: tuple[int, ...], size: tuple[int, ...]):
    """An oracle for ConvTranspose: the definition, tap by tap, for the given size and padding before each axis."""

    def expect(X: Array, W: Array, B: Array | None = None, *, strides=None, dilations=None, group=1, **_) -> Array:
        rank = X.ndim - 2
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        per_group = W.shape[1]
        Y = np.zeros((X.shape[0], per_group * group, *size), X.dtype)
        for c, m in product(range(X.shape[1]), range(per_group)):
            channel = c // (X.shape[1] // group) * per_group + m
            for o, t in product(np.ndindex(*X.shape[2:]), np.ndindex(*W.shape[2:])):
                at = tuple(o[i] * strides[i] + t[i] * dilations[i] - begin[i] for i in range(rank))
                if all(0 <= p < n for p, n in zip(at, size, strict=True)):
                    Y[(slice(None), channel, *at)] += X[(slice(None), c, *o)] * W[(c, m, *t)]
        return Y if B is None else Y + B.reshape(-1, *(1,) * rank)

    return expect


X2, X3 = real(2, 2, 5, 4), real(1, 2, 3, 3, 4)

CONV = [
    case("Conv", X2, real(3, 2, 3, 2), real(3), grad=(0, 1, 2), dtypes=NARROW),
    case("Conv", X2, real(3, 2, 3, 2), opset=1, kernel_shape=[3, 2], name="first version"),
    case("Conv", X2, real(3, 2, 3, 2), opset=11, pads=[1, 0, 0, 1], name="asymmetric padding 11"),
    case("Conv", X2, real(3, 2, 3, 2), opset=22, strides=[2, 2], dtypes=BFLOAT16, name="strides 22"),
    case("Conv", X2, real(3, 2, 1, 1), grad=(0, 1), name="one by one", dtypes=NARROW),
    case("Conv", X2, real(3, 2, 1, 1), real(3), strides=[2, 3], grad=(0, 1, 2), name="one by one, strided"),
    case("Conv", X2, real(3, 2, 2, 2), strides=[2, 3], pads=[1, 0, 2, 1], grad=(0, 1), name="strides and padding"),
    case("Conv", X2, real(2, 2, 2, 2), dilations=[2, 3], pads=[1, 1, 1, 1], grad=(0, 1), name="dilations"),
    case("Conv", X2, real(2, 2, 2, 2), dilations=[3, 1], strides=[2, 1], grad=(0, 1), name="dilation over stride"),
    case("Conv", X2, real(2, 2, 3, 2), pads=[3, 2, 3, 2], grad=(0, 1), name="windows in padding alone"),
    case("Conv", X2, real(2, 2, 2, 3), auto_pad="SAME_UPPER", grad=(0, 1), name="same upper"),
    case("Conv", X2, real(2, 2, 2, 2), auto_pad="SAME_LOWER", strides=[2, 1], grad=(0, 1), name="same lower"),
    case("Conv", X2, real(2, 2, 1, 1), auto_pad="SAME_UPPER", strides=[3, 2], grad=(0, 1), name="same, gaps"),
    case("Conv", X2, real(2, 2, 2, 2), auto_pad="VALID", strides=[2, 2], grad=(0, 1), name="valid"),
    case("Conv", real(2, 4, 4, 3), real(6, 2, 2, 2), real(6), group=2, grad=(0, 1, 2), name="groups"),
    case("Conv", real(1, 3, 4, 4), real(3, 1, 3, 3), group=3, pads=[1] * 4, grad=(0, 1), name="depthwise"),
    case("Conv", real(1, 2, 4, 4), real(6, 1, 2, 2), real(6), group=2, grad=(0, 1, 2), name="depthwise, multiplied"),
    case("Conv", real(2, 3, 6), real(2, 3, 3), real(2), strides=[2], pads=[1, 0], grad=(0, 1, 2), name="one axis"),
    case("Conv", X3, real(2, 2, 2, 2, 3), real(2), pads=[0, 1, 0, 1, 0, 1], grad=(0, 1, 2), name="three axes"),
    case("Conv", real(1, 1, 2, 3, 2, 3), real(2, 1, 2, 2, 1, 2), grad=(0, 1), name="four axes"),
    case("Conv", real(0, 2, 4, 4), real(3, 2, 3, 3), real(3), name="empty batch"),
]

T2 = real(2, 2, 3, 4)

CONV_TRANSPOSE = [
    case("ConvTranspose", T2, real(2, 3, 2, 3), real(3), grad=(0, 1, 2), dtypes=NARROW),
    case("ConvTranspose", T2, real(2, 3, 2, 3), opset=1, kernel_shape=[2, 3], name="first version"),
    case("ConvTranspose", T2, real(2, 3, 2, 3), opset=11, strides=[2, 1], name="strides 11"),
    case("ConvTranspose", T2, real(2, 3, 2, 3), opset=22, pads=[1, 0, 0, 1], dtypes=BFLOAT16,
         name="asymmetric padding 22"),
    case("ConvTranspose", T2, real(2, 3, 1, 1), real(3), grad=(0, 1, 2), name="one by one"),
    case("ConvTranspose", T2, real(2, 2, 2, 2), strides=[3, 2], grad=(0, 1), name="gaps"),
    case("ConvTranspose", T2, real(2, 2, 3, 3), strides=[2, 2], pads=[1, 0, 1, 1], output_padding=[1, 0], grad=(0, 1),
         name="output padding"),
    case("ConvTranspose", T2, real(2, 2, 2, 2), strides=[1, 2], dilations=[3, 2], output_padding=[2, 1], grad=(0, 1),
         expect=transposed((0, 0), (8, 10)), name="output padding over stride"),
    case("ConvTranspose", T2, real(2, 2, 3, 2), dilations=[2, 1], strides=[2, 1], grad=(0, 1), name="dilations"),
    case("ConvTranspose", T2, real(2, 2, 3, 3), strides=[2, 3], auto_pad="SAME_UPPER", grad=(0, 1), name="same upper"),
    case("ConvTranspose", T2, real(2, 2, 3, 4), strides=[2, 1], auto_pad="SAME_LOWER", grad=(0, 1), name="same lower"),
    case("ConvTranspose", T2, real(2, 2, 3, 4), strides=[2, 1], auto_pad="VALID", grad=(0, 1), name="valid"),
    case("ConvTranspose", T2, real(2, 2, 3, 4), strides=[2, 1], output_shape=[6, 5], grad=(0, 1),
         expect=transposed((1, 1), (6, 5)), name="output shape"),
    case("ConvTranspose", T2, real(2, 2, 3, 4), strides=[2, 1], output_shape=[6, 6], auto_pad="SAME_UPPER",
         grad=(0, 1), name="output shape, same upper"),
    case("ConvTranspose", T2, real(2, 2, 2, 2), strides=[2, 2], output_shape=[9, 11], grad=(0, 1),
         expect=transposed((0, 0), (9, 11)), name="output shape beyond all windows"),
    case("ConvTranspose", real(1, 4, 3, 2), real(4, 3, 2, 2), real(6), group=2, strides=[2, 1], grad=(0, 1, 2),
         expect=transposed((0, 0), (6, 3)), name="groups"),
    case("ConvTranspose", real(1, 3, 3, 3), real(3, 1, 3, 3), group=3, pads=[1] * 4, grad=(0, 1),
         expect=transposed((1, 1), (3, 3)), name="depthwise"),
    case("ConvTranspose", real(2, 3, 4), real(3, 2, 3), real(2), strides=[2], pads=[1, 0], grad=(0, 1, 2),
         name="one axis"),
    case("ConvTranspose", real(1, 2, 2, 2, 3), real(2, 1, 2, 1, 2), strides=[1, 2, 2], grad=(0, 1), name="three axes"),
    case("ConvTranspose", real(0, 2, 3, 3), real(2, 3, 2, 2), real(3), expect=transposed((0, 0), (4, 4)),
         name="empty batch"),
]  # fmt: skip

CASES: list[Case] = [*CONV, *CONV_TRANSPOSE]
