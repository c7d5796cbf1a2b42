"""Rows of `runtime/ops/sequence.py`. A tuple is a sequence."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from ..table import Case, case, ints, real

FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
THREE = (real(2, key="a"), real(3, key="b"), real(2, key="c"))
ALIKE = (real(2, 3, key="a"), real(2, 3, key="b"), real(2, 3, key="c"))
TEXT = np.array(["a", "b"])


def given(x, **_):
    """An optional value holds what was put in; the reference wraps it."""
    return (x,)


CASES: list[Case] = [
    case("SequenceConstruct", real(2), real(3), opset=11),
    case("SequenceConstruct", ints(2, 2), opset=11, name="one"),
    case("SequenceConstruct", TEXT, TEXT, opset=11, name="text"),
    case("SequenceEmpty", opset=11, dtype=TensorProto.INT64, expect=lambda **_: ([],)),
    case("SequenceEmpty", opset=11, expect=lambda **_: ([],), name="default"),
    case("SequenceAt", THREE, np.array(1), opset=11),
    case("SequenceAt", THREE, np.array(-3, np.int32), opset=11, name="from the end"),
    case("SequenceAt", (TEXT, TEXT), np.array(1), opset=11, name="text"),
    case("SequenceInsert", THREE, real(4), opset=11),
    case("SequenceInsert", THREE, real(4), np.array(0), opset=11, name="front"),
    case("SequenceInsert", THREE, real(4), np.array(3), opset=11, name="behind the last",
         expect=lambda s, x, _: ([*s, x],)),
    case("SequenceInsert", THREE, real(4), np.array(-1), opset=11, name="before the last"),
    case("SequenceErase", THREE, opset=11),
    case("SequenceErase", THREE, np.array(0), opset=11, name="first"),
    case("SequenceErase", THREE, np.array(-2, np.int32), opset=11, name="from the end"),
    case("SequenceLength", THREE, opset=11),
    case("SplitToSequence", real(4, 3), opset=11),
    case("SplitToSequence", real(4, 3), opset=11, keepdims=0, axis=-1, name="without the axis"),
    case("SplitToSequence", real(5, 2), np.array(2), opset=11, name="equal parts",
         expect=lambda x, _, **__: ([x[:2], x[2:4], x[4:]],)),
    case("SplitToSequence", real(2, 5), [1, 0, 4], opset=11, axis=1, name="given lengths"),
    case("SplitToSequence", real(4, 3), [1, 3], opset=24, keepdims=0, name="keepdims means nothing with a split"),
    case("ConcatFromSequence", ALIKE, opset=11, axis=0),
    case("ConcatFromSequence", ALIKE, opset=11, axis=-1, name="last axis"),
    case("ConcatFromSequence", ALIKE, opset=11, axis=1, new_axis=1, name="stacked"),
    case("ConcatFromSequence", ALIKE, opset=11, axis=-1, new_axis=1, name="stacked last"),
    case("Optional", real(2), opset=15, dtypes=("float32",), expect=given),
    case("Optional", THREE, opset=15, dtypes=("float32",), expect=lambda x, **_: (x,), name="sequence"),
    case("Optional", opset=15, type=FLOATS, expect=lambda **_: (None,), name="empty"),
    case("OptionalGetElement", real(2), opset=18, expect=given),
    case("OptionalGetElement", THREE, opset=18, expect=given, name="sequence"),
    case("OptionalHasElement", real(2), opset=18),
    case("OptionalHasElement", None, opset=18, expect=lambda *_: np.array(False), name="absent"),
    case("OptionalHasElement", opset=28, expect=lambda *_: np.array(False), name="no input"),
]  # fmt: skip
