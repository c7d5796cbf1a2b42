"""Answers of ONNX's shape inference are remembered: what is asked again is answered alike, what differs is not."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime import inference
from striate.runtime.errors import InvalidGraph

FLOAT, INT64 = ir.DataType.FLOAT, ir.DataType.INT64
VERSION = 21


@pytest.fixture(autouse=True)
def forgotten() -> None:
    inference._answers.clear()


def value(shape: list[int | str | None], dtype: ir.DataType = FLOAT) -> ir.Value:
    return ir.Value(name="x", type=ir.TensorType(dtype), shape=ir.Shape(shape))


def known(content: object, dtype: type = np.int64) -> ir.Value:
    tensor = ir.Tensor(np.asarray(content, dtype))
    return ir.Value(name="c", type=ir.TensorType(tensor.dtype), shape=ir.Shape(tensor.shape), const_value=tensor)


def shape_of(node: ir.Node) -> list[int | str | None] | None:
    (found,) = inference.infer(node, VERSION)
    return None if found is None or found.shape is None else list(inference.dims(found.shape))


CASES = [
    ("inputs", lambda n: ir.node("Relu", [value([n, 3])]), lambda n: [n, 3]),
    ("names", lambda n: ir.node("Relu", [value([f"batch{n}", 3])]), lambda n: [f"batch{n}", 3]),
    ("constants", lambda n: ir.node("Reshape", [value([12]), known([n, -1])]), lambda n: [n, 12 // n]),
    ("scales", lambda n: ir.node("Resize", [value([4]), None, known([n], np.float32)]), lambda n: [4 * n]),
    ("numbers", lambda n: ir.node("Flatten", [value([2, 3, 4])], {"axis": n}), lambda n: [[2, 12], [6, 4]][n - 1]),
    ("lists", lambda n: ir.node("Transpose", [value([5, 6])], {"perm": [n - 1, 2 - n]}), lambda n: [4 + n, 7 - n]),
    ("tensors", lambda n: ir.node("Constant", [], {"value": ir.Tensor(np.zeros(n, "f"))}), lambda n: [n]),
    ("absent", lambda n: ir.node("Clip", [value([n]), None, known(1.0, np.float32)]), lambda n: [n]),
]


@pytest.mark.parametrize(("make", "want"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_question_has_its_own_answer(make, want) -> None:
    for _ in range(2):
        assert [shape_of(make(n)) for n in (1, 2)] == [want(1), want(2)]
    assert len(inference._answers) == 2


def test_an_answer_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = inference._inferred
    monkeypatch.setattr(inference, "_inferred", lambda *given: asked.append(given) or real(*given))
    for _ in range(3):
        assert shape_of(ir.node("Relu", [value([7])])) == [7]
    assert len(asked) == 1


def test_types_are_told_apart() -> None:
    for dtype in (FLOAT, INT64, FLOAT):
        (found,) = inference.infer(ir.node("Relu", [value([2], dtype)]), VERSION)
        assert found is not None
        assert isinstance(found.type, ir.TensorType)
        assert found.type.dtype == dtype


def test_who_changes_an_answer_changes_his_own() -> None:
    first, second = (ir.node("Relu", [value([2, 3])]) for _ in range(2))
    inference.annotate(first, VERSION)
    assert first.outputs[0].shape is not None
    with pytest.raises(TypeError):
        first.outputs[0].shape[0] = 9
    first.outputs[0].shape = ir.Shape([9, 3])
    first.outputs[0].dtype = INT64
    inference.annotate(second, VERSION)
    assert list(second.outputs[0].shape or ()) == [2, 3]
    assert second.outputs[0].dtype == FLOAT


def test_faults_are_said_every_time() -> None:
    for name in ("one", "two"):
        node = ir.node("MatMul", [value([2, 3]), value([4, 5])], name=name)
        with pytest.raises(InvalidGraph, match=name):
            inference.infer(node, VERSION)
    assert not inference._answers


def test_sizes_that_are_constant_and_sizes_that_are_not() -> None:
    """Of an unknown length ONNX's inference takes scales to be none at all."""
    scales = value([None])
    assert shape_of(ir.node("Resize", [value([4]), None, known([2], np.float32)])) == [8]
    assert shape_of(ir.node("Resize", [value([4]), None, scales])) is None
    assert shape_of(ir.node("Reshape", [value([12]), value([2], INT64)])) in (None, [None, None])
    assert shape_of(ir.node("Reshape", [value([12]), known([3, 4])])) == [3, 4]
    assert shape_of(ir.node("Reshape", [value([12]), value([2], INT64)])) in (None, [None, None])


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_REMEMBERED", 5)
    for n in range(1, 40):
        assert shape_of(ir.node("Relu", [value([n])])) == [n]
        assert len(inference._answers) <= 5
