"""A small model that keeps a team of threads busy; imports little, since the processes of tests begin with it."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from striate.runtime import InferenceSession, SessionOptions

__all__ = ["BUSY", "busy", "convolution", "elsewhere", "options"]

BUSY = np.random.default_rng(2).standard_normal((1, 64, 14, 14)).astype(np.float32)


def options(engine: str = "native", threads: int = 0, numerics: str = "fast") -> SessionOptions:
    made = SessionOptions()
    made.intra_op_num_threads = threads
    made.numerics = numerics
    made.add_session_config_entry("striate.engine", engine)
    return made


def convolution(channels: int, outputs: int, kernel: int, size: int | str = "H") -> bytes:
    """One convolution of pictures of any size, of enough work for several threads."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((outputs, channels, kernel, kernel)) * (channels * kernel * kernel) ** -0.5
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[kernel // 2] * 4)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels, size, size])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weights.astype(np.float32), "w")])
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    return bytes(made.SerializeToString())


def busy(threads: int = 2, numerics: str = "fast") -> InferenceSession:
    return InferenceSession(convolution(64, 64, 3), options("native", threads, numerics))


def elsewhere(content: bytes) -> bytes:
    """The result's bytes; for other processes."""
    result = InferenceSession(content, options("native", 2)).run(None, {"x": BUSY})[0]
    return bytes(result.tobytes())
