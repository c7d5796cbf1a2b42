"""What moves elements, between operators that keep them in blocks: beside the arrays engine, without reordering."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from striate.runtime.engines.native import lowering, program
from striate.runtime.engines.native.program import aligned
from striate.runtime.executor import Executor
from striate.runtime.reader import read

from .test_lowering import Everything

Shape = tuple[int, ...]


@dataclass
class Net:
    """x pooled, nodes on the result `t` that give `u`, and that pooled."""

    rank: int
    channels: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def constant(self, name: str, array: Any) -> str:
        self.constants[name] = np.asarray(array)
        return name

    def node(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, outputs, **attributes))

    def pool(self, x: str, y: str) -> None:
        """What is always done in blocks."""
        axes = self.rank - 2
        self.node("MaxPool", [x], [y], kernel_shape=[3] * axes, pads=[1] * 2 * axes)

    def bytes(self) -> bytes:
        value = helper.make_tensor_value_info
        shape = ["n", self.channels, *(f"d{i}" for i in range(self.rank - 2))]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [value("x", TensorProto.FLOAT, shape)],
            [value("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()

    def check(self, size: Shape, reorders: int | None) -> None:
        """Everything in one call; so many `reorders` of blocks to plain values before the result."""
        x = np.random.default_rng(0).standard_normal((2, self.channels, *size)).astype(np.float32)
        (want,) = Executor(read(self.bytes())).run({"x": x})
        executor = Executor(read(self.bytes()), threads=2)
        (got,) = executor.run({"x": x})
        (step,) = executor.plan_for({"x": x}).steps
        assert step.op_type == "Stretch"
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        if reorders is not None:
            assert sum("from blocks" in label for label in LABELS[-1]) == reorders + 1, LABELS[-1]


LABELS: list[list[str]] = []


@pytest.fixture(autouse=True)
def labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes what the last program was made of."""
    original = lowering.stretch

    def noted(*args: Any) -> Any:
        made = original(*args)
        LABELS.append([step.label for step in made.program.steps])
        return made

    monkeypatch.setattr(lowering, "stretch", noted)
    monkeypatch.setattr(lowering, "WORTH", Everything())


def _slice(net: Net) -> None:
    net.node("Slice", ["t", *(net.constant(*p) for p in BOUNDS)], ["u"])


BOUNDS = (("starts", [3, 1]), ("ends", [-1, -1]), ("axes", [1, 2]), ("steps", [1, 2]))


def _every_other_channel(net: Net) -> None:
    bounds = (("starts", [-1]), ("ends", [-99]), ("axes", [1]), ("steps", [-2]))
    net.node("Slice", ["t", *(net.constant(*p) for p in bounds)], ["u"])


def _split(net: Net) -> None:
    """In three, put together in another order."""
    c = net.channels
    net.node("Split", ["t", net.constant("sizes", [3, c - 8, 5])], ["a", "b", "c"], axis=1)
    net.node("Concat", ["c", "a", "c", "b"], ["u"], axis=1)


def _join(net: Net) -> None:
    net.node("Concat", ["t", "t"], ["u"], axis=2)


def _join_constant(net: Net) -> None:
    extra = np.random.default_rng(5).standard_normal((2, 3, *SIZES[net.rank])).astype(np.float32)
    net.node("Concat", [net.constant("extra", extra), "t"], ["u"], axis=1)


def _pad(mode: str) -> Any:
    def made(net: Net) -> None:
        pads = net.constant("pads", [*(0, 0, 2, 1)[: net.rank], *(0, 0, 1, 3)[: net.rank]])
        value = [net.constant("value", np.float32(2.5))] if mode == "constant" else []
        net.node("Pad", ["t", pads, *value], ["u"], mode=mode)

    return made


def _pad_channels(net: Net) -> None:
    pads = net.constant("pads", [*(0, 3, -1, 0)[: net.rank], *(0, 2, 1, -2)[: net.rank]])
    net.node("Pad", ["t", pads], ["u"])


def _gather(net: Net) -> None:
    order = np.random.default_rng(1).integers(-net.channels, net.channels, 21)
    net.node("Gather", ["t", net.constant("order", order)], ["u"], axis=1)


def _resize(net: Net) -> None:
    scales = net.constant("scales", np.float32([1, 1, 2, 1.5][: net.rank]))
    net.node("Resize", ["t", "", scales], ["u"], mode="linear")


def _last(net: Net) -> None:
    """Channels last, something along them, and back."""
    perm = [0, *range(2, net.rank), 1]
    net.node("Transpose", ["t"], ["a"], perm=perm)
    net.node("Softmax", ["a"], ["b"], axis=-1)
    net.node("Transpose", ["b"], ["u"], perm=[0, net.rank - 1, *range(1, net.rank - 1)])


def _pool(net: Net) -> None:
    rank = net.rank - 2
    net.node("MaxPool", ["t"], ["a"], kernel_shape=[3] * rank, strides=[2] * rank, pads=[1] * 2 * rank)
    net.node("AveragePool", ["a"], ["u"], kernel_shape=[2] * rank)


def _normalise(net: Net) -> None:
    c = net.channels
    names = ("gamma", "beta", "mean")
    constants = [net.constant(n, np.random.default_rng(i).random(c).astype(np.float32)) for i, n in enumerate(names)]
    net.node("Relu", ["t"], ["r"])
    net.node("BatchNormalization", ["r", *constants, net.constant("variance", np.ones(c, np.float32))], ["u"])


def _global(net: Net) -> None:
    net.node("GlobalAveragePool", ["t"], ["g"])
    net.node("Mul", ["t", "g"], ["u"])


def _reduce(net: Net) -> None:
    """The mean of each plane; and one over batch and space, whose axes are no neighbours."""
    space = list(range(2, net.rank))
    net.node("ReduceMean", ["t", net.constant("space", space)], ["g"])
    net.node("ReduceMax", ["t", net.constant("all", [0, *space])], ["h"])
    net.node("Sum", ["t", "g", "h"], ["u"])


def _instances(net: Net) -> None:
    c = net.channels
    constants = [net.constant(n, np.random.default_rng(i).random(c).astype(np.float32)) for i, n in enumerate("sb")]
    net.node("InstanceNormalization", ["t", *constants], ["u"])


def _groups(net: Net) -> None:
    c = net.channels
    constants = [net.constant(n, np.random.default_rng(i).random(c).astype(np.float32)) for i, n in enumerate("sb")]
    net.node("GroupNormalization", ["t", *constants], ["u"], num_groups=c if c % 4 else 4)


SIZES = {3: (23,), 4: (9, 11)}
CASES: dict[str, tuple[Any, int | None]] = {
    "slice": (_slice, 0), "every other channel": (_every_other_channel, 1), "split": (_split, 0), "join": (_join, 0),
    "join a constant": (_join_constant, 0), "pad constant": (_pad("constant"), 0), "pad edge": (_pad("edge"), 0),
    "pad reflect": (_pad("reflect"), 0), "pad wrap": (_pad("wrap"), 0), "pad channels": (_pad_channels, 0),
    "gather": (_gather, None), "resize": (_resize, 0), "last": (_last, None), "pool": (_pool, 0),
    "normalise": (_normalise, 0), "global": (_global, None), "reduce": (_reduce, None),
    "instances": (_instances, 0), "groups": (_groups, None),
}  # fmt: skip
"""What is done, and how often values leave their blocks for it, where that is fixed."""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rank", SIZES)
@pytest.mark.parametrize("channels", [16, 21, 37])
def test_between_pools(name: str, rank: int, channels: int) -> None:
    make, reorders = CASES[name]
    net = Net(rank, channels)
    net.pool("x", "t")
    make(net)
    net.pool("u", "y")
    net.check(SIZES[rank], reorders)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("channels", [16, 21, 37])
def test_lanes_beyond_the_last_channel_are_zero(name: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory full of NaN, before an operator whose windows reach beyond the last channel."""

    def full_of_nan(nbytes: int) -> np.ndarray:
        made = aligned(nbytes)
        made[:] = 0xFF
        return made

    monkeypatch.setattr(program, "aligned", full_of_nan)
    net = Net(4, channels)
    net.pool("x", "t")
    CASES[name][0](net)
    net.node("LRN", ["u"], ["y"], size=5, alpha=0.5)
    net.check(SIZES[4], None)
