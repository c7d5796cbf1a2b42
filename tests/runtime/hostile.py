"""Small graphs that ask for too much or for what is not there, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from striate.runtime import dtypes

TIB, MAX, MIN = 1 << 40, (1 << 63) - 1, -(1 << 63)


@dataclass(frozen=True)
class Node:
    """One node and what it reads."""

    op: str
    inputs: Sequence[np.ndarray]
    name: str = ""
    outputs: int = 1
    opset: int = 23
    domain: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def model(self, *, constant: bool) -> tuple[bytes, dict[str, np.ndarray]]:
        """The model and its inputs; with `constant` these are stored in it, so that the node is folded."""
        names = [f"x{i}" for i in range(len(self.inputs))]
        given = dict(zip(names, self.inputs, strict=True))
        nodes = [
            helper.make_node(
                self.op, names, [f"y{i}" for i in range(self.outputs)], "node", domain=self.domain, **self.attributes
            )
        ]
        infos = [helper.make_tensor_value_info(n, dtypes.onnx_dtype(x.dtype), None) for n, x in given.items()]
        stored = [numpy_helper.from_array(x, n) for n, x in given.items()]
        outputs = [onnx.ValueInfoProto(name=f"y{i}") for i in range(self.outputs)]
        graph = helper.make_graph(nodes, "g", [] if constant else infos, outputs, stored if constant else [])
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid("ai.onnx.ml", 3)]
        proto = helper.make_model(graph, opset_imports=imports, ir_version=10)
        return proto.SerializeToString(), {} if constant else given


def row(
    op: str, *inputs: Any, name: str = "", outputs: int = 1, opset: int = 23, domain: str = "", **attrs: Any
) -> Node:
    return Node(op, tuple(np.asarray(x) for x in inputs), name, outputs, opset, domain, attrs)


def f(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def n(value: int) -> np.ndarray:
    return np.array(value, np.int64)


PIXELS = f(1, 1, 2, 2)
NONE = floats()
WIDE = (f(1 << 20, 1), f(1, 1 << 20))
"""Their outer product takes 4 TiB."""

SIZES = [
    row("ConstantOfShape", i(TIB)),
    row("ConstantOfShape", i(1 << 32, 1 << 32), name="past 2^63"),
    row("ConstantOfShape", np.ones(70, np.int64), name="70 axes"),
    row("Expand", f(1), i(TIB)),
    row("Expand", f(1), i(1 << 62, 4), name="past 2^63"),
    row("Tile", f(1), i(TIB)),
    row("Tile", f(2, 2), i(1 << 62, 4), name="past 2^63"),
    row("Range", n(0), n(TIB), n(1)),
    row("Range", n(0), n(MIN), n(-1), name="min"),
    row("Range", *floats(0, 1e18, 1e-6), name="float"),
    row("Resize", PIXELS, NONE, floats(1, 1, 1 << 20, 1 << 20)),
    row("Resize", PIXELS, NONE, floats(1, 1, 1 << 20, 1 << 20), name="linear", mode="linear"),
    row("Resize", PIXELS, NONE, floats(1, 1, 1 << 20, 1 << 20), name="cubic", mode="cubic"),
    row("Resize", PIXELS, NONE, NONE, i(1, 1, 1 << 20, 1 << 20), name="sizes"),
    row("Resize", PIXELS, NONE, floats(1, 1, 1e30, 1), name="1e30"),
    row("Resize", PIXELS, floats(1, 1, 1 << 20, 1 << 20), name="10", opset=10),
    row("Upsample", PIXELS, floats(1, 1, 1 << 20, 1 << 20), opset=9),
    row("Upsample", PIXELS, name="7", opset=7, scales=[1.0, 1.0, 2.0**20, 2.0**20]),
    row("Upsample", PIXELS, name="1", opset=1, height_scale=2.0**20, width_scale=2.0**20),
    *(row("Pad", f(2, 2), i(0, TIB, 0, 0), name=m, mode=m) for m in ("constant", "reflect", "edge", "wrap")),
    *(row("Pad", f(2, 2), i(0, 0, 0, MAX), name=f"max {m}", mode=m) for m in ("constant", "reflect", "edge", "wrap")),
    row("OneHot", i(0, 1), n(TIB), floats(0, 1)),
    row("OneHot", i(0, 1), n(MAX), floats(0, 1), name="max"),
    row("RandomUniform", shape=[TIB]),
    row("RandomNormal", shape=[1 << 32, 1 << 32]),
    row("Multinomial", f(1, 3), sample_size=TIB),
    *(row(window, n(TIB)) for window in ("HannWindow", "HammingWindow", "BlackmanWindow")),
    row("BlackmanWindow", n(MAX), name="max"),
    row("MelWeightMatrix", n(TIB), n(16), n(8000), *floats(0, 4000)),
    row("MaxUnpool", PIXELS, np.zeros((1, 1, 2, 2), np.int64), i(1, 1, 1 << 20, 1 << 20), kernel_shape=[2, 2]),
    row("MaxUnpool", PIXELS, np.zeros((1, 1, 2, 2), np.int64), name="strides", kernel_shape=[2, 2],
        strides=[1 << 20] * 2),
    row("ConvTranspose", PIXELS, PIXELS, output_shape=[1 << 20] * 2),
    row("ConvTranspose", PIXELS, PIXELS, name="strides", strides=[1 << 20] * 2),
    row("ConvTranspose", PIXELS, PIXELS, name="dilations", dilations=[1 << 62] * 2),
    row("Conv", PIXELS, PIXELS, name="pads", pads=[1 << 20] * 4),
    row("Conv", PIXELS, PIXELS, name="pads past 2^63", pads=[1 << 62] * 4),
    row("Conv", PIXELS, PIXELS, name="dilations and pads", dilations=[TIB, 1], pads=[TIB] * 4),
    *(row(pool, PIXELS, kernel_shape=[1 << 20] * 2, pads=[(1 << 20) - 1] * 4)
      for pool in ("MaxPool", "AveragePool", "LpPool")),
    row("MaxRoiPool", PIXELS, f(1, 5), pooled_shape=[1 << 20] * 2),
    row("RoiAlign", PIXELS, f(1, 4), i(0), output_height=1 << 20, output_width=1 << 20),
    row("RoiAlign", PIXELS, floats(0, 0, 1e9, 1e9)[None], i(0), name="samples", output_height=2, output_width=2),
    row("Col2Im", f(1, 4, 4), i(1 << 20, 1 << 20), i(2, 2)),
    row("Col2Im", f(1, 4, 4), i(3, 3), i(TIB, TIB), name="block"),
    row("CenterCropPad", f(2, 2), i(1 << 20, 1 << 20)),
    row("AffineGrid", f(1, 2, 3), i(1, 1, 1 << 20, 1 << 20)),
    row("DFT", f(1, 4, 1), n(TIB)),
    row("Split", f(4), num_outputs=1 << 31),
    row("Unsqueeze", f(2), np.arange(100)),
    row("Reshape", f(4), i(TIB, -1)),
    row("Reshape", f(4), i(1 << 32, 1 << 32), name="past 2^63"),
    row("Reshape", f(0), i(1 << 62, 1 << 62, 0), name="behind a zero", allowzero=1),
    row("Reshape", f(1), np.ones(70, np.int64), name="70 axes"),
    row("DepthToSpace", f(1, 4, 2, 2), blocksize=TIB),
    row("Einsum", *[f(64)] * 10, equation=",".join("abcdefghij") + "->abcdefghij"),
    row("LSTM", f(3, 1, 2), f(1, 8, 2), f(1, 8, 2), hidden_size=TIB),
    row("TfIdfVectorizer", i(0), max_gram_length=1, min_gram_length=1, max_skip_count=0, mode="TF",
        ngram_counts=[0], ngram_indexes=[TIB], pool_int64s=[1]),
    row("FeatureVectorizer", f(1, 2), domain="ai.onnx.ml", inputdimensions=[TIB]),
    *(row(op, *WIDE) for op in ("MatMul", "Add", "Less", "Pow", "Max", "Sum", "Gemm")),
    row("MatMulInteger", *(x.astype(np.uint8) for x in WIDE)),
]  # fmt: skip
"""Refused before memory is asked for."""

FOUR = f(4)
BOX = (f(1, 2, 4), f(1, 1, 2))
INDICES = [
    *(row("Gather", FOUR, i(k), name=str(k)) for k in (4, -5, MAX, MIN)),
    row("Gather", FOUR, i(0), name="axis", axis=MIN),
    *(row("GatherElements", FOUR, i(k), name=str(k)) for k in (4, MAX, MIN)),
    *(row("GatherND", f(2, 2), np.array([[k, 0]]), name=str(k)) for k in (2, MIN)),
    row("GatherND", f(2, 2), np.array([[0, 0, 0]]), name="long"),
    *(row("GatherND", f(2, 2), np.array([[0]]), name=f"batch_dims {k}", batch_dims=k) for k in (TIB, -1)),
    row("Scatter", FOUR, i(9), f(1), opset=9),
    *(row("ScatterElements", FOUR, i(k), f(1), name=str(k)) for k in (4, MIN, MAX)),
    row("ScatterElements", FOUR, i(0, 1), f(1), name="shape"),
    *(row("ScatterND", FOUR, np.array([[k]]), f(1), name=str(k)) for k in (4, MIN, MAX)),
    row("ScatterND", FOUR, np.array([[0]]), f(3), name="shape"),
    *(row("ArrayFeatureExtractor", f(1, 4), i(k), name=str(k), domain="ai.onnx.ml") for k in (9, -1, MIN)),
    row("Compress", FOUR, np.ones(9, bool)),
    row("Compress", FOUR, np.ones(2, bool), name="axis", axis=MIN),
    *(row("ReverseSequence", f(4, 2), i(k, 1), name=str(k)) for k in (9, MIN)),
    *(row("TensorScatter", f(1, 1, 4, 2), f(1, 1, 2, 2), i(k), name=str(k), opset=24) for k in (3, MIN, MAX)),
    *(row("TopK", FOUR, i(k), name=str(k), outputs=2) for k in (9, -1, MAX)),
    row("TopK", FOUR, i(1, 2), name="two numbers", outputs=2),
    row("TopK", FOUR, i(1), name="axis", outputs=2, axis=MIN),
    *(row("NegativeLogLikelihoodLoss", f(2, 3), i(k, 0), name=str(k)) for k in (3, -1, MIN)),
    *(row("SoftmaxCrossEntropyLoss", f(2, 3), i(k, 0), name=str(k)) for k in (3, -1, MAX)),
    *(row("MaxUnpool", PIXELS, np.full((1, 1, 2, 2), k), name=str(k), kernel_shape=[2, 2]) for k in (99, -1, MIN)),
    *(row("RoiAlign", PIXELS, f(1, 4), i(k), name=str(k)) for k in (7, -1, MIN)),
    row("NonMaxSuppression", f(1, 2, 4), f(1, 1, 3), n(1), name="shape"),
    *(row("RotaryEmbedding", f(1, 1, 2, 4), f(4, 2), f(4, 2), np.array([[k, 0]]), name=str(k)) for k in (9, MIN)),
    *(row("Slice", FOUR, i(0), i(4), i(0), i(k), name=f"step {k}") for k in (0,)),
    row("Slice", FOUR, i(0), i(4), i(MIN), name="axis"),
    row("Slice", FOUR, i(0, 0), i(4, 4), i(0, 0), name="axis twice"),
    row("Split", FOUR, i(-1, 5), name="negative", outputs=2),
    row("Split", FOUR, i(1 << 62, 1 << 62), name="past 2^63", outputs=2),
    *(row("Unsqueeze", f(2), i(k), name=str(k)) for k in (1 << 62, MIN)),
    row("Squeeze", f(1), i(MIN)),
    row("Reshape", FOUR, i(-1, -1), name="two open"),
    row("Reshape", FOUR, i(-2, -2), name="negative"),
    row("Reshape", FOUR, np.array([[2], [2]]), name="matrix"),
    row("CumSum", FOUR, n(MIN)),
    row("ReduceSum", f(2, 2), i(MIN)),
    row("ReduceSum", f(2, 2), np.array([[0]]), name="matrix"),
    *(row(op, f(2, 2), axis=MIN) for op in ("Softmax", "Flatten", "ArgMax", "Hardmax", "LpNormalization")),
    row("Concat", f(2), f(2), axis=MIN),
    *(row("Transpose", f(2, 2), name=str(p), perm=list(p)) for p in ((0, -1), (0, 0), (0, 1 << 62))),
    row("LayerNormalization", f(2, 3), f(3), axis=1 << 31),
    row("MeanVarianceNormalization", f(1, 2, 2, 2), axes=[9]),
    row("DepthToSpace", f(1, 4, 2, 2), name="0", blocksize=0),
    row("SpaceToDepth", f(1, 4, 2, 2), name="0", blocksize=0),
    *(row("GroupNormalization", f(1, 4, 2), f(4), f(4), name=str(k), num_groups=k) for k in (0, 3, TIB)),
    *(row("Conv", PIXELS, PIXELS, name=f"{a} {k}", **{a: [k, k]})
      for a, k in product(("strides", "dilations"), (0, -1))),
    row("Conv", PIXELS, PIXELS, name="group 0", group=0),
    *(row("MaxPool", PIXELS, name=str(k), kernel_shape=[k, 2]) for k in (0, -1)),
    row("Upsample", PIXELS, floats(1, 1, -2, 2), name="negative", opset=9),
    row("Resize", PIXELS, NONE, floats(1, 1, np.nan, 1), name="nan"),
    row("DequantizeLinear", np.zeros((2, 4), np.int8), np.ones((2, 2), np.float32), block_size=-1),
    row("Dropout", f(3), np.float32(2), np.array(True)),
    row("Split", FOUR, name="outputs", outputs=3, num_outputs=2),
]  # fmt: skip
"""What they name is not there."""
