"""InferenceSession and its companions, beyond what test_dropin.py compares."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import striate.runtime as ort
from striate.runtime.engines.arrays import cuda_available
from striate.runtime.errors import InvalidInput

from . import protos

CPU = ["CPUExecutionProvider"]


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def dense(options: ort.SessionOptions | None = None, **kwargs: Any) -> ort.InferenceSession:
    return ort.InferenceSession(protos.dense(**kwargs).SerializeToString(), options, providers=CPU)


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, striate.runtime as ort; ort.__version__, ort.SessionOptions(), ort.InferenceSession; "
        "heavy = 'onnx', 'onnx_ir', 'llvmlite', 'cupy', 'onnxruntime', 'striate.trainer'; "
        "print([m for m in heavy if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_names_exist() -> None:
    assert all(getattr(ort, name) is not None for name in ort.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        ort.no_such_name  # noqa: B018


def test_run() -> None:
    session, x = dense(), random(5, 3)
    z, y = session.run(None, {"x": x})
    np.testing.assert_allclose(y, protos.dense_result(x), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(z, np.maximum(y, 0))
    again = session.run(["y", "z", "y"], {"x": x})
    np.testing.assert_array_equal(again[0], y)
    np.testing.assert_array_equal(again[2], y)
    assert len(session.run([], {"x": x})) == 2


def test_results_belong_to_the_caller() -> None:
    session, x = dense(), random(4, 3)
    first = session.run(None, {"x": x})
    kept = [y.copy() for y in first]
    session.run(None, {"x": -x})
    np.testing.assert_array_equal(first, kept)
    for y in first:
        y[:] = 7
    np.testing.assert_array_equal(session.run(None, {"x": x}), kept)


def test_inputs_and_weights_that_are_outputs_are_copied() -> None:
    weights = np.arange(3, dtype=np.float32)
    proto = protos.model(
        [helper.make_node("Relu", ["x"], ["y"])],
        [protos.tensor_info("x", [3])],
        [protos.tensor_info(name, [3]) for name in ("x", "w", "y")],
        [numpy_helper.from_array(weights, "w")],
    )
    session, x = ort.InferenceSession(proto.SerializeToString()), weights.copy()
    for result in session.run(None, {"x": x}):
        result[:] = 9
    np.testing.assert_array_equal(x, weights)
    np.testing.assert_array_equal(session.run(["w", "x"], {"x": x}), [weights, weights])


def test_many_threads_many_shapes() -> None:
    session = dense()
    inputs = [random(n, 3) for n in (1, 2, 3, 5, 8, 40) * 8]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda x: session.run(["y"], {"x": x})[0], inputs))
    for x, y in zip(inputs, results, strict=True):
        np.testing.assert_allclose(y, protos.dense_result(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "wrong_order", [np.ndarray.byteswap, np.asfortranarray, lambda x: x[::-1], lambda x: x[:, ::-1]]
)
def test_any_memory_layout(wrong_order: Any) -> None:
    x = wrong_order(random(4, 3))
    np.testing.assert_allclose(dense().run(["y"], {"x": x})[0], protos.dense_result(x), rtol=1e-5, atol=1e-5)


def test_big_endian_input() -> None:
    x = random(4, 3)
    np.testing.assert_array_equal(dense().run(None, {"x": x.astype(">f4")}), dense().run(None, {"x": x}))


def test_an_input_with_a_default() -> None:
    proto = protos.dense()
    proto.graph.input.append(protos.tensor_info("w", [3, 2]))
    session, x = ort.InferenceSession(proto.SerializeToString()), random(2, 3)
    assert [a.name for a in session.get_inputs()] == ["x"]
    assert [a.name for a in session.get_overridable_initializers()] == ["w"]
    np.testing.assert_allclose(session.run(["y"], {"x": x})[0], protos.dense_result(x), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(session.run(["y"], {"x": x, "w": np.zeros((3, 2), np.float32)})[0], np.ones((2, 2)))


def test_levels_of_optimisation_agree() -> None:
    x = random(3, 3)
    expected = dense().run(None, {"x": x})
    for level in ort.GraphOptimizationLevel:
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        np.testing.assert_allclose(dense(options).run(None, {"x": x}), expected, rtol=1e-6, atol=1e-6)


def test_options_refuse_what_they_do_not_have() -> None:
    options = ort.SessionOptions()
    with pytest.raises(AttributeError, match="intra_threads"):
        options.intra_threads = 2
    with pytest.raises(TypeError, match=r"intra_op_num_threads.*int.*str"):
        options.intra_op_num_threads = "2"
    with pytest.raises(RuntimeError, match="does not have configuration with key: a"):
        options.get_session_config_entry("a")
    options.add_session_config_entry("a", "b")
    assert options.get_session_config_entry("a") == "b"


def test_a_session_keeps_its_own_options() -> None:
    options = ort.SessionOptions()
    session = dense(options)
    options.logid = "later"
    session.get_session_options().logid = "later"
    assert session.get_session_options().logid == ""


def test_fixed_dimension() -> None:
    options = ort.SessionOptions()
    options.add_free_dimension_override_by_name("N", 4)
    session = dense(options)
    assert [a.shape for a in (*session.get_inputs(), *session.get_outputs())] == [[4, 3], [4, 2], [4, 2]]
    with pytest.raises(InvalidInput, match="index: 0 Got: 2 Expected: 4"):
        session.run(None, {"x": random(2, 3)})


def test_replaced_weights() -> None:
    options = ort.SessionOptions()
    options.add_initializer("w", ort.OrtValue.ortvalue_from_numpy(np.zeros((3, 5), np.float32)))
    options.add_initializer("b", ort.OrtValue.ortvalue_from_numpy(np.full(5, 2, np.float32)))
    proto = protos.dense()
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    session = ort.InferenceSession(proto.SerializeToString(), options)
    np.testing.assert_array_equal(session.run(["y"], {"x": random(2, 3)})[0], np.full((2, 5), 2))


def test_optimised_model_is_written(tmp_path: Path) -> None:
    options, x = ort.SessionOptions(), random(2, 3)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    expected = dense(options).run(None, {"x": x})
    onnx.checker.check_model(str(tmp_path / "optimised.onnx"), full_check=True)
    np.testing.assert_array_equal(ort.InferenceSession(tmp_path / "optimised.onnx").run(None, {"x": x}), expected)


def test_profile(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = dense(options)
    session.run(None, {"x": random(2, 3)})
    path = session.end_profiling()
    events = json.loads(Path(path).read_text())
    assert [e["name"] for e in events] == ["model_loading", "session_initialization", "model_run"]
    assert all(e["ph"] == "X" and e["dur"] >= 0 for e in events)
    assert session.end_profiling() == dense().end_profiling() == ""


def test_outputs_without_a_shape_are_inferred() -> None:
    proto = protos.dense()
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    session = ort.InferenceSession(proto.SerializeToString())
    assert [(a.name, a.type, a.shape) for a in session.get_outputs()] == [
        ("z", "tensor(float)", ["N", 2]),
        ("y", "tensor(float)", ["N", 2]),
    ]


def test_terminate() -> None:
    options = ort.RunOptions()
    options.terminate = True
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.Fail, match="terminate flag"):
        dense().run(None, {"x": random(1, 3)}, options)


def test_run_async() -> None:
    done, told = threading.Event(), []

    def callback(*args: Any) -> None:
        told.append(args)
        done.set()

    for feed in ({"x": np.zeros((1, 3), np.float32)}, {}):
        dense().run_async(["y"], feed, callback, "mine")
        assert done.wait(30)
        done.clear()
    (results, data, error), (nothing, _, failure) = told
    np.testing.assert_array_equal(results[0], np.ones((1, 2)))
    assert (data, error, nothing) == ("mine", "", [])
    assert "missing from input feed" in failure


def test_io_binding() -> None:
    session, x = dense(), random(4, 3)
    z, y = session.run(None, {"x": x})
    binding = session.io_binding()
    given, wanted = x.copy(), np.zeros((4, 2), np.float32)
    value = ort.OrtValue.ortvalue_from_numpy(wanted)
    binding.bind_cpu_input("x", given)
    binding.bind_ortvalue_output("y", value)
    binding.bind_output("z")
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(wanted, y)
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[1], z)
    given[:] = 0
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(wanted, np.ones((4, 2)))
    assert [v.shape() for v in binding.get_outputs()] == [[4, 2], [4, 2]]


def test_io_binding_by_address() -> None:
    session, x, y = dense(), random(4, 3), np.zeros((4, 2), np.float32)
    binding = session.io_binding()
    binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    session.run_with_iobinding(binding)
    np.testing.assert_allclose(y, protos.dense_result(x), rtol=1e-6, atol=1e-6)


def test_ort_values() -> None:
    session, x = dense(), random(2, 3)
    value = ort.OrtValue.ortvalue_from_numpy(x)
    assert (value.shape(), value.data_type(), value.element_type(), value.device_name()) == (
        [2, 3],
        "tensor(float)",
        1,
        "cpu",
    )
    assert np.shares_memory(value.numpy(), x)
    (result,) = session.run_with_ort_values(["y"], {"x": value})
    np.testing.assert_allclose(result.numpy(), protos.dense_result(x), rtol=1e-6, atol=1e-6)
    with pytest.raises(InvalidInput, match="ndarray"):
        session.run_with_ort_values(["y"], {"x": x})
    value.update_inplace(np.zeros((2, 3), np.float32))
    assert not x.any()
    halves = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.full(2, 0x3F80, np.uint16), onnx.TensorProto.BFLOAT16)
    assert halves.data_type() == "tensor(bfloat16)"
    assert halves.numpy().astype(np.float32).tolist() == [1, 1]
    np.testing.assert_array_equal(np.from_dlpack(value), value.numpy())


def test_providers() -> None:
    session = dense()
    assert session.get_providers() == CPU
    assert session.get_provider_options() == {"CPUExecutionProvider": {}}
    with pytest.warns(UserWarning, match="Specified provider 'NoSuchProvider' is not in available"):
        session.set_providers(["NoSuchProvider", "CPUExecutionProvider"])
    assert session.get_providers() == CPU
    assert set(ort.get_available_providers()) <= set(ort.get_all_providers())
    for wrong in (["CPUExecutionProvider", 3], "CPUExecutionProvider"):
        with pytest.raises(InvalidInput, match="providers"):
            ort.InferenceSession(protos.dense().SerializeToString(), providers=wrong)


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_available(), reason="needs CuPy and a CUDA device")
def test_cuda() -> None:
    x = random(4, 3)
    session = ort.InferenceSession(protos.dense().SerializeToString(), providers=["CUDAExecutionProvider"])
    assert session.get_providers() == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    results = session.run(None, {"x": x})
    assert all(isinstance(y, np.ndarray) for y in results)
    np.testing.assert_allclose(results[1], protos.dense_result(x), rtol=1e-5, atol=1e-5)
    value = ort.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", value)
    binding.bind_output("y", "cuda")
    session.run_with_iobinding(binding)
    assert binding.get_outputs()[0].device_name() == "cuda"
    np.testing.assert_allclose(binding.copy_outputs_to_cpu()[0], protos.dense_result(x), rtol=1e-5, atol=1e-5)


def test_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.runtime.loading._seed", None)
    nodes = [helper.make_node("RandomUniform", [], [name], shape=[8]) for name in ("a", "b")]
    data = protos.model(nodes, [], [protos.tensor_info(name, [8]) for name in ("a", "b")]).SerializeToString()
    unseeded = ort.InferenceSession(data)
    assert not np.array_equal(unseeded.run(None, {})[0], unseeded.run(None, {})[0])
    drawn = []
    for seed in (1, 1, 2):
        ort.set_seed(seed)
        drawn.append(ort.InferenceSession(data).run(None, {}))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0][0], drawn[0][1])


def test_text() -> None:
    values = [protos.tensor_info(name, [None], onnx.TensorProto.STRING) for name in ("x", "y")]
    session = ort.InferenceSession(
        protos.model([helper.make_node("Identity", ["x"], ["y"])], *([v] for v in values)).SerializeToString()
    )
    for given in (np.array(["a", "bé"]), np.array(["a", "bé"], object), ["a", "bé"], np.array([b"a", "bé".encode()])):
        (result,) = session.run(None, {"x": given})
        assert (result.dtype, result.tolist()) == (object, ["a", "bé"])
