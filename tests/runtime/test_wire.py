"""Weights taken out of the file before protobuf parses it: the same model, in memory once."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from striate.runtime import InferenceSession, reader, wire
from striate.runtime.errors import NotAModel, StriateError

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def model(sizes: tuple[int, ...], dtype: type = np.float32) -> onnx.ModelProto:
    """y = x + w0[0] + w1[0] + ..., with weights of the given sizes."""
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array((rng.random(n) * 9).astype(dtype), f"w{i}") for i, n in enumerate(sizes)]
    zero = numpy_helper.from_array(np.zeros(1, np.int64), "zero")
    nodes = [helper.make_node("Gather", [w.name, "zero"], [f"g_{w.name}"]) for w in weights]
    nodes.append(helper.make_node("Sum", ["x", *(n.output[0] for n in nodes)], ["y"]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = [helper.make_tensor_value_info(n, kind, [1]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [*weights, zero])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("sizes", [(1 << 15,), (3, 1 << 15, 7, 40_001), (5,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_the_same_model(sizes: tuple[int, ...], dtype: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = model(sizes, dtype)
    path = tmp_path / "m.onnx"
    onnx.save(made, path)
    x = np.ones(1, dtype)
    (want,) = InferenceSession(str(path)).run(None, {"x": x})
    monkeypatch.setattr(reader, "LIFTED_ABOVE", 0)
    for source in (str(path), made.SerializeToString()):
        (got,) = InferenceSession(source).run(None, {"x": x})
        np.testing.assert_array_equal(got, want)
        read = reader.read(source)
        for tensor in made.graph.initializer:
            value = read.graph.initializers[tensor.name].const_value
            assert value is not None
            np.testing.assert_array_equal(value.numpy(), numpy_helper.to_array(tensor))
            assert value.numpy().flags.aligned


def test_only_what_is_large_is_taken() -> None:
    made = model((10, 1 << 15))
    data = made.SerializeToString()
    lifted = wire.lift(io.BytesIO(data), len(data))
    assert lifted is not None
    light, payloads = lifted
    assert [len(p) for p in payloads.values()] == [4 << 15]
    rest = onnx.ModelProto.FromString(light)
    large = rest.graph.initializer[1]
    assert (large.data_location, large.raw_data) == (TensorProto.EXTERNAL, b"")
    large.ClearField("data_location")
    del large.external_data[:]
    (large.raw_data,) = (p.read().tobytes() for p in payloads.values())
    assert rest == made


def test_damaged_files_are_refused_as_without_lifting(monkeypatch: pytest.MonkeyPatch) -> None:
    data = model((1 << 15, 100)).SerializeToString()
    monkeypatch.setattr(reader, "LIFTED_ABOVE", 0)
    for cut in (1, 10, 1000, 70_000, len(data) - 1):
        with pytest.raises(NotAModel, match="truncated"):
            reader.read(data[:cut])
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data) if rng.random() < 0.5 else 400, 3):
            damaged[place] = rng.integers(256)
        try:
            reader.read(bytes(damaged))
        except StriateError:
            continue


def test_a_size_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model((1 << 15,))
    made.graph.initializer[0].dims[0] = 1 << 14
    monkeypatch.setattr(reader, "LIFTED_ABOVE", 0)
    with pytest.raises(StriateError, match="w0"):
        reader.read(made.SerializeToString())


def test_a_file_that_changes_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights are read when a plan needs them, from the file that was opened; never from another content."""
    monkeypatch.setattr(reader, "LIFTED_ABOVE", 0)
    path = tmp_path / "m.onnx"
    made = model((1 << 15,))
    onnx.save(made, path)
    kept = InferenceSession(str(path))
    (tmp_path / "new").write_bytes(b"replaced")
    (tmp_path / "new").replace(path)
    (got,) = kept.run(None, {"x": np.ones(1, np.float32)})
    assert got == 1 + numpy_helper.to_array(made.graph.initializer[0])[0]
    onnx.save(made, path)
    value = reader.read(str(path)).graph.initializers["w0"].const_value
    assert value is not None
    path.write_bytes(b"overwritten")
    with pytest.raises(StriateError, match="make a new session"):
        value.numpy()


PEAK = """
import resource, sys
import numpy as np
import onnx_ir
import striate.runtime as ort
from striate.runtime import executor, reader

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

options = ort.SessionOptions()
options.add_session_config_entry("striate.engine", sys.argv[2])
if sys.argv[2] == "native":
    import llvmlite.binding
    from striate.runtime.engines.native import lowering
before = peak()
session = ort.InferenceSession(sys.argv[1], options)
session.run(None, {session.get_inputs()[0].name: np.ones((1, 3, 224, 224), np.float32)})
print(peak() - before)
"""


LARGEST = 25_088 * 4096 * 4
"""Bytes of the largest weight of VGG-19; the native engine holds each weight twice while it packs it."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's unit of ru_maxrss")
@pytest.mark.parametrize(("engine", "extra"), [("arrays", 0), ("native", LARGEST)])
def test_peak_memory_of_a_large_network(engine: str, extra: int) -> None:
    """VGG-19: at most 1.3 times weights and the two largest activations (both 64×224×224 float32)."""
    weights, activation = 143_667_240 * 4, 64 * 224 * 224 * 4
    arguments = [sys.executable, "-c", PEAK, str(LIGHT / "light_vgg19.onnx"), engine]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert int(result.stdout) <= 1.3 * (weights + 2 * activation) + extra
