"""What the reader accepts and what it makes of it; what it refuses is in test_bad_input.py."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from striate.runtime.errors import UnsupportedOperator
from striate.runtime.reader import read

from . import protos


def initializer(model: ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def test_path_and_bytes(tmp_path: Path) -> None:
    proto = protos.dense()
    path = protos.save(proto, tmp_path / "m.onnx")
    for source in (path, str(path), proto.SerializeToString()):
        model = read(source)
        assert [v.name for v in model.graph.inputs] == ["x"]
        assert [n.op_type for n in model.graph] == ["Gemm", "Relu"]
        np.testing.assert_array_equal(initializer(model, "w"), protos.WEIGHTS)
        assert model.meta["path"] == (None if isinstance(source, bytes) else str(path))


def test_round_trip_is_checker_clean() -> None:
    onnx.checker.check_model(ir.to_proto(read(protos.dense().SerializeToString())), full_check=True)


def test_training_info_is_kept() -> None:
    proto = protos.dense()
    proto.training_info.add().algorithm.name = "step"
    assert [info.algorithm.name for info in read(proto.SerializeToString()).meta["training_info"]] == ["step"]


def test_nodes_out_of_order_are_sorted() -> None:
    proto = protos.dense()
    nodes = list(reversed(proto.graph.node))
    proto.graph.ClearField("node")
    proto.graph.node.extend(nodes)
    assert [n.op_type for n in read(proto.SerializeToString()).graph] == ["Gemm", "Relu"]


def test_ai_onnx_is_the_default_domain() -> None:
    proto = protos.dense()
    proto.opset_import[0].domain = "ai.onnx"
    proto.graph.node[1].domain = "ai.onnx"
    model = read(proto.SerializeToString())
    assert model.graph.opset_imports == {"": 21}
    assert {n.domain for n in model.graph} == {""}


def test_negative_dimension_is_unknown() -> None:
    proto = protos.dense()
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    shape = read(proto.SerializeToString()).graph.inputs[0].shape
    assert shape is not None
    assert shape[0] == ir.SymbolicDim(None)


def test_unused_domains_do_not_matter() -> None:
    proto = protos.dense()
    proto.opset_import.add(domain="com.acme", version=7)
    read(proto.SerializeToString())


@pytest.mark.parametrize("location", ["w.bin", "sub/folder/w.bin", "with space.bin"])
@pytest.mark.parametrize("offset", [0, 3, 4096])
def test_external_data(location: str, offset: int, tmp_path: Path) -> None:
    proto = protos.dense()
    content = protos.make_external(proto.graph.initializer[0], location, offset=offset, length=24)
    target = tmp_path / location
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(bytes(offset) + content + b"more")
    model = read(protos.save(proto, tmp_path / "m.onnx"))
    np.testing.assert_array_equal(initializer(model, "w"), protos.WEIGHTS)
    assert not initializer(model, "w").flags.writeable
    np.testing.assert_array_equal(initializer(read(proto.SerializeToString(), base_dir=tmp_path), "w"), protos.WEIGHTS)


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.bool_, ml_dtypes.bfloat16, ml_dtypes.int4, ml_dtypes.uint2])
def test_external_data_of_many_types(dtype: type, tmp_path: Path) -> None:
    array = np.array([1, 0, 1, 1, 0]).astype(dtype)
    proto = protos.dense()
    proto.graph.initializer.append(numpy_helper.from_array(array, "extra"))
    (tmp_path / "w.bin").write_bytes(protos.make_external(proto.graph.initializer[2], "w.bin"))
    found = initializer(read(protos.save(proto, tmp_path / "m.onnx")), "extra")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found.astype(np.float32), array.astype(np.float32))


def test_external_data_of_an_attribute(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(protos.WEIGHTS, "value")
    (tmp_path / "w.bin").write_bytes(protos.make_external(tensor, "w.bin"))
    proto = protos.model([helper.make_node("Constant", [], ["y"], value=tensor)], [], [protos.tensor_info("y", [3, 2])])
    model = read(protos.save(proto, tmp_path / "m.onnx"))
    np.testing.assert_array_equal(model.graph.node(0).attributes["value"].value.numpy(), protos.WEIGHTS)


@pytest.mark.parametrize("indices", [[0, 3, 5], [[0, 0], [1, 1], [2, 1]]], ids=["linear", "by axis"])
def test_sparse_weights_become_dense(indices: list) -> None:
    proto = protos.dense()
    sparse = proto.graph.sparse_initializer.add(dims=[3, 2])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([1, 2, 3], np.float32), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array(indices, np.int64)))
    del proto.graph.initializer[0]
    np.testing.assert_array_equal(initializer(read(proto.SerializeToString()), "w"), [[1, 0], [0, 2], [0, 3]])


def test_text_is_python_text() -> None:
    texts = np.array([["a", "bé"]], object)
    proto = protos.dense()
    proto.graph.initializer.append(numpy_helper.from_array(texts, "names"))
    model = read(proto.SerializeToString())
    np.testing.assert_array_equal(initializer(model, "names"), texts)
    again = {t.name: t for t in ir.to_proto(model).graph.initializer}["names"]
    assert list(again.string_data) == [b"a", "bé".encode()]


def test_functions_of_the_model() -> None:
    proto = protos.dense()
    body = [helper.make_node("Relu", ["c"], ["b"]), helper.make_node("Identity", ["a"], ["c"])]
    imports = [helper.make_opsetid("", 21)]
    proto.functions.append(helper.make_function("own", "f", ["a"], ["b"], body, imports))
    proto.opset_import.add(domain="own", version=1)
    proto.graph.node[1].domain, proto.graph.node[1].op_type = "own", "f"
    (function,) = read(proto.SerializeToString()).functions.values()
    assert [n.op_type for n in function] == ["Identity", "Relu"]


def test_branches_may_read_outer_values_defined_later() -> None:
    """The reader's order holds for values that only a branch reads, too."""
    branch = helper.make_graph(
        [helper.make_node("Relu", ["late"], ["r"])], "branch", [], [protos.tensor_info("r", None)]
    )
    proto = protos.model(
        [
            helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
            helper.make_node("Relu", ["x"], ["late"]),
        ],
        [protos.tensor_info("x", [2]), protos.tensor_info("c", [], onnx.TensorProto.BOOL)],
        [protos.tensor_info("y", [2])],
    )
    try:
        model = read(proto.SerializeToString())
    except UnsupportedOperator:
        pytest.skip("there is no kernel for If")
    assert [n.op_type for n in model.graph] == ["Relu", "If"]


def test_all_of_onnx_node_models_are_well_formed() -> None:
    """The checks refuse nothing that ONNX itself calls valid, apart from operators without a kernel."""
    with np.errstate(all="ignore"):
        cases = [case.model for case in collect_testcases(None) if case.model is not None]
    assert len(cases) > 500
    accepted = 0
    for proto in cases:
        try:
            read(proto.SerializeToString())
            accepted += 1
        except UnsupportedOperator:
            pass
    assert accepted > 100
