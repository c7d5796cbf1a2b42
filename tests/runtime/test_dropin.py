"""One script, run with onnxruntime and with Striate in its place, prints the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from onnx import helper

from . import protos

SCRIPT = """
import sys
import numpy as np
import {module} as ort

def show(label, call):
    try:
        result = call()
    except Exception as error:
        known = [c.__name__ for c in type(error).__mro__ if c.__module__ in ("builtins", STATE.__name__)]
        print(label, "raises", next(n for n in known if n in CLASSES), error)
        return
    if isinstance(result, list):
        result = [np.round(r, 4).tolist() if isinstance(r, np.ndarray) and r.dtype != object else r for r in result]
    print(label, result)

STATE = ort.capi.onnxruntime_pybind11_state
CLASSES = ["Fail", "InvalidArgument", "NoSuchFile", "InvalidProtobuf", "InvalidGraph", "ValueError", "RuntimeError",
           "TypeError", "AttributeError"]
ort.set_default_logger_severity(4)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
options.add_session_config_entry("session.some_key", "1")
session = ort.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
print(options.graph_optimization_level, options.execution_mode, options.intra_op_num_threads)
print(session.get_providers(), session.get_provider_options(), repr(session.end_profiling()))
for argument in (*session.get_inputs(), *session.get_outputs(), *session.get_overridable_initializers()):
    print(argument, argument.name, argument.type, argument.shape)
meta = session.get_modelmeta()
print(meta.producer_name, meta.graph_name, meta.description, meta.domain, meta.version, meta.graph_description,
      meta.custom_metadata_map)

x = (np.arange(12, dtype=np.float32).reshape(4, 3) - 5) / 3
run = session.run
show("all outputs", lambda: run(None, {{"x": x}}))
show("no outputs named", lambda: run([], {{"x": x}}))
show("one output", lambda: run(["y"], {{"x": x}}))
show("one output twice", lambda: run(("y", "z", "y"), {{"x": x}}))
show("another batch", lambda: run(["z"], {{"x": x[:1]}}))
show("an empty batch", lambda: run(["z"], {{"x": x[:0]}}))
show("not contiguous", lambda: run(["z"], {{"x": x[::2]}}))
show("list", lambda: run(["z"], {{"x": x.tolist()}}))
show("list of ints", lambda: run(["z"], {{"x": [[1, 2, 3]]}}))
show("run options", lambda: run(["z"], {{"x": x}}, ort.RunOptions()))
show("other weights", lambda: run(["z"], {{"x": x, "b": np.zeros(2, np.float32)}}))
show("OrtValue", lambda: run(["z"], {{"x": ort.OrtValue.ortvalue_from_numpy(x)}}))
value = ort.OrtValue.ortvalue_from_numpy(x)
show("ort values", lambda: [v.numpy() for v in session.run_with_ort_values(["z"], {{"x": value}})])
print(value.shape(), value.data_type(), value.element_type(), value.device_name(), value.tensor_size_in_bytes())
print(value.is_tensor(), value.is_tensor_sequence(), value.is_sparse_tensor(), value.has_value())
binding = session.io_binding()
binding.bind_cpu_input("x", x)
binding.bind_output("z")
binding.bind_output("y", "cpu")
session.run_with_iobinding(binding)
show("bound", binding.copy_outputs_to_cpu)
show("bound values", lambda: [v.numpy() for v in binding.get_outputs()])

show("missing input", lambda: run(None, {{}}))
show("wrong name", lambda: run(None, {{"q": x}}))
show("unknown input", lambda: run(None, {{"x": x, "q": x}}))
show("weight that is no input", lambda: run(None, {{"x": x, "w": x}}))
show("unknown output", lambda: run(["q"], {{"x": x}}))
show("rank 1", lambda: run(None, {{"x": x[0]}}))
show("rank 3", lambda: run(None, {{"x": x[None]}}))
show("rank 0", lambda: run(None, {{"x": np.float32(1).reshape(())}}))
show("dimension", lambda: run(None, {{"x": x[:, :2]}}))
for dtype in ("float64", "int64", "int32", "bool", "float16", "uint8", "str", "object"):
    show(dtype, lambda: run(None, {{"x": x.astype(dtype)}}))
show("other weights of another rank", lambda: run(["z"], {{"x": x, "b": x}}))
show("other weights of another size", lambda: run(["z"], {{"x": x, "b": np.zeros(3, np.float32)}}))
show("ragged list", lambda: run(None, {{"x": [[1.0], [1.0, 2.0]]}}))
show("list of text", lambda: run(None, {{"x": [["a", "b", "c"]]}}))
show("number", lambda: run(None, {{"x": 1.0}}))
show("text", lambda: run(None, {{"x": "abc"}}))
show("tuple", lambda: run(None, {{"x": (1.0, 2.0, 3.0)}}))
show("unbound input", lambda: binding.bind_cpu_input("q", x))
terminated = ort.RunOptions()
terminated.terminate = True
show("terminated", lambda: run(None, {{"x": x}}, terminated))
show("option that is not set", lambda: options.get_session_config_entry("no.such.key"))
show("option without a name", lambda: options.add_session_config_entry("", "1"))

create = lambda source: ort.InferenceSession(source, providers=["CPUExecutionProvider"])
show("no file", lambda: create("none.onnx"))
show("text file", lambda: create("text.onnx"))
show("empty file", lambda: create("empty.onnx"))
show("truncated file", lambda: create("truncated.onnx"))
show("folder", lambda: create("folder"))
show("text bytes", lambda: create(b"hello, world"))
show("empty bytes", lambda: create(b""))
show("None", lambda: create(None))
show("number", lambda: create(3))
try:
    run(None, {{"x": x[0]}})
except STATE.InvalidArgument as error:
    print("caught", type(error).__name__)
"""


def test_the_same_script_prints_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'check'")
    proto = protos.dense()
    proto.graph.input.append(protos.tensor_info("b", [2]))
    proto.graph.doc_string, proto.doc_string, proto.domain, proto.model_version = "graph text", "model text", "a.b", 3
    helper.set_model_props(proto, {"labels": "cat,dog"})
    data = proto.SerializeToString()
    protos.save(data, tmp_path / "model.onnx")
    protos.save(data[:-50], tmp_path / "truncated.onnx")
    protos.save(b"hello, world", tmp_path / "text.onnx")
    protos.save(b"", tmp_path / "empty.onnx")
    (tmp_path / "folder").mkdir()
    theirs, ours = (_output(module, tmp_path) for module in ("onnxruntime", "striate.runtime"))
    assert len(theirs) > 50
    assert ours == theirs


def _output(module: str, folder: Path) -> list[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT.format(module=module), encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
