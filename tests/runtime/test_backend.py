"""The onnx Backend interface itself; ONNX's own tests run through it in tests/conformance."""

from __future__ import annotations

import unittest
import warnings

import numpy as np
import onnx.backend.test
import pytest
from onnx import helper

from striate.runtime import backend
from striate.runtime.errors import InvalidInput, UnsupportedOperator

from . import protos

X = np.array([[1, -2, 3]], np.float32)


@pytest.mark.parametrize("inputs", [X, [X], (X,), {"x": X}], ids=["array", "list", "tuple", "dict"])
def test_prepare_and_run(inputs: object) -> None:
    outputs = backend.prepare(protos.dense()).run(inputs)
    np.testing.assert_allclose(outputs["y"], protos.dense_result(X))
    np.testing.assert_array_equal(outputs[0], outputs.z)
    np.testing.assert_array_equal(outputs[0], backend.run_model(protos.dense(), inputs)[0])


def test_too_many_inputs() -> None:
    with pytest.raises(InvalidInput, match="2 inputs were given; the model has 1"):
        backend.prepare(protos.dense()).run([X, X])


def test_run_node() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    np.testing.assert_array_equal(backend.run_node(node, [X])[0], np.maximum(X, 0))
    np.testing.assert_array_equal(backend.run_node(node, {"x": X}, opset_version=13)[0], np.maximum(X, 0))
    np.testing.assert_array_equal(backend.run_node(node, X, opset_imports={"": 14})[0], np.maximum(X, 0))


def test_run_node_with_an_input_left_out() -> None:
    node = helper.make_node("Clip", ["x", "", "most"], ["y"])
    np.testing.assert_array_equal(backend.run_node(node, [X, np.float32(1)])[0], [[1, -2, 1]])


def test_devices() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("TPU")
    assert not backend.supports_device("CUDA:x")
    with pytest.raises(InvalidInput, match="'TPU' is not available"):
        backend.prepare(protos.dense(), "TPU")


def test_is_compatible() -> None:
    assert backend.is_compatible(protos.dense())
    proto = protos.dense()
    proto.graph.node[1].op_type = "NoSuchOperator"
    assert not backend.is_compatible(proto)
    with pytest.raises(UnsupportedOperator, match="NoSuchOperator"):
        backend.prepare(proto)


def test_onnx_test_runner_can_use_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators of ONNX's node tests overflow on purpose
        runner = onnx.backend.test.BackendTest(backend, __name__)
    runner.include("^test_(relu|matmul_2d|gemm_default_no_bias)_cpu$")
    result = unittest.TestResult()
    for cases in runner.test_cases.values():
        unittest.defaultTestLoader.loadTestsFromTestCase(cases).run(result)
    assert result.wasSuccessful(), result
    assert result.testsRun - len(result.skipped) == 3
