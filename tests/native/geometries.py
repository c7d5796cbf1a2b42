"""Models of one operator and what follows it, drawn at random: convolutions, products, pooling, broadcasts, reductions.

`draw(kind, seed)` gives the same model and inputs for the same seed. Sizes are odd on purpose: channels that fill no
register, pictures of one position, windows wider than the picture, padding wider than the window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["KINDS", "SPECIALS", "Draw", "draw"]

OPSET = 21
MOST_FLOPS, MOST_ELEMENTS, MOST_DEPTH = 20_000_000, 100_000, 30_000
SPECIALS = ("normal", "normal", "normal", "normal", "nan", "infinite", "tiny", "large")
"""What inputs hold; `tiny` numbers are denormal, `large` ones are near 1e15."""

FLOAT = onnx.TensorProto.FLOAT
Shape = tuple[int, ...]
Node = tuple[str, dict[str, Any]]

ACTIVATIONS: list[Node] = [
    ("Relu", {}), ("LeakyRelu", {"alpha": 0.1}), ("Sigmoid", {}), ("HardSwish", {}), ("Tanh", {}), ("Elu", {}),
    ("HardSigmoid", {}), ("Softplus", {}), ("Clip", {"min": -0.7, "max": 1.3}), ("Mish", {}), ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"}),
]  # fmt: skip
LIMITLESS = ("Mish", "Gelu", "HardSwish")
"""Of −∞ the native engine gives the limit, NumPy NaN: not drawn for inputs that are infinite."""


@dataclass
class Draw:
    """A model, inputs for it, and words that tell what it is.

    Attributes:
        name: kind, seed and geometry.
        special: one of `SPECIALS`.
        inputs: of the inputs, name → array.
    """

    name: str
    special: str
    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    rng: np.random.Generator = field(repr=False)

    @property
    def content(self) -> bytes:
        return self.model.SerializeToString()

    def again(self) -> dict[str, np.ndarray]:
        """Other numbers of the same sort for the inputs."""
        return {name: _numbers(self.rng, x.shape, self.special) for name, x in self.inputs.items()}


def _numbers(rng: np.random.Generator, shape: Shape, special: str) -> np.ndarray:
    scale = {"tiny": 1e-40, "large": 1e15}.get(special, 1.0)
    made = np.asarray(rng.standard_normal(shape) * scale, np.float32)
    if made.size and special in ("nan", "infinite"):
        few = rng.integers(made.size, size=int(rng.integers(1, 4)))
        made.reshape(-1)[few] = np.nan if special == "nan" else rng.choice([np.inf, -np.inf])
    return made


@dataclass
class _Maker:
    """Collects nodes, initializers and inputs of a graph."""

    rng: np.random.Generator
    special: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def upto(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def input(self, *shape: int) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs[name] = _numbers(self.rng, shape, self.special)
        return name

    def constant(self, *shape: int, scale: float = 1.0) -> str:
        array = np.asarray(self.rng.standard_normal(shape) * scale, np.float32)
        return self.initializer(array)

    def initializer(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def activation(self, x: str) -> str:
        op, attributes = self.pick(*ACTIVATIONS)
        if op in LIMITLESS and self.special == "infinite":
            op, attributes = "Relu", {}
        self.words.append(op)
        if op == "Clip":
            bounds = [self.initializer(np.array(attributes[name], np.float32)) for name in ("min", "max")]
            return self.node(op, x, *bounds)
        return self.node(op, x, **attributes)

    def draw(self, kind: str, seed: int, y: str, dynamic: bool = False) -> Draw:
        """The model whose output is y; `dynamic` leaves the first dimension of the inputs open."""

        def info(name: str, x: np.ndarray) -> onnx.ValueInfoProto:
            shape: list[int | str] = list(x.shape)
            return helper.make_tensor_value_info(name, FLOAT, ["N", *shape[1:]] if dynamic else shape)

        given = [info(name, x) for name, x in self.inputs.items()]
        result = onnx.ValueInfoProto(name=y)
        result.type.tensor_type.elem_type = FLOAT
        graph = helper.make_graph(self.nodes, kind, given, [result], self.weights)
        model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", OPSET)])
        return Draw(f"{kind} {seed}: {', '.join(self.words)}", self.special, model, self.inputs, self.rng)


def _axis(m: _Maker, kernel: int, stride: int, dilation: int, most_pad: int) -> tuple[int, int, int, int]:
    """Size of a picture along one axis, padding before and behind, size of the result."""
    before, behind = m.upto(0, most_pad), m.upto(0, most_pad)
    reach = dilation * (kernel - 1) + 1
    least = max(1, reach - before - behind)
    size = max(least, m.pick(1, m.upto(1, 8), m.upto(1, 40)))
    return size, before, behind, (size + before + behind - reach) // stride + 1


def _window(m: _Maker) -> tuple[list[int], list[int], list[int], int]:
    """Kernel, strides and dilations, and how far padding may go."""
    if m.chance(0.3):
        return [3, 3], [1, 1], [1, 1], m.pick(1, 1, 3)
    if m.chance(0.25):
        return [1, 1], [m.pick(1, 1, 2, 3)] * 2, [1, 1], m.pick(0, 0, 2)
    square = m.chance(0.6)
    kernel = [m.pick(2, 3, 5, m.upto(1, 11)) for _ in range(2)]
    strides, dilations = ([m.pick(1, 1, 2, m.upto(1, 5)) for _ in range(2)], [m.pick(1, 1, m.upto(1, 4)) for _ in "hw"])
    if square:
        kernel, strides, dilations = [kernel[0]] * 2, [strides[0]] * 2, [dilations[0]] * 2
    return kernel, strides, dilations, m.pick(0, 2, 9)


def _channels(m: _Maker) -> tuple[int, int, int]:
    """Of the input, of the result, and groups."""
    how = m.pick("one", "one", "one", "depthwise", "grouped")
    if how == "one":
        return m.pick(1, 3, m.upto(1, 70)), m.pick(1, 8, m.upto(1, 70)), 1
    groups = m.upto(1, 70) if how == "depthwise" else m.pick(2, 3, 5, 7, 16)
    inside = 1 if how == "depthwise" else m.upto(1, max(1, 70 // groups))
    return groups * inside, groups * m.pick(1, 1, 2, 3) if how == "depthwise" else groups * m.upto(1, 5), groups


def convolution(m: _Maker) -> str:
    kernel, strides, dilations, most_pad = _window(m)
    c, outputs, groups = _channels(m)
    if m.chance(0.03):
        c, groups = m.upto(100, 900), 1
    (h, top, bottom, oh), (w, left, right, ow) = (
        _axis(m, *each, most_pad) for each in zip(kernel, strides, dilations, strict=True)
    )
    n = m.pick(1, 1, 2, m.upto(0, 5))
    while n > 1 and 2 * n * outputs * oh * ow * (c // groups) * kernel[0] * kernel[1] > MOST_FLOPS:
        n -= 1
    m.words += [f"{n}×{c}×{h}×{w} → {outputs}×{oh}×{ow}", f"kernel {kernel}", f"strides {strides}"]
    m.words += [f"dilations {dilations}", f"pads {[top, left, bottom, right]}", f"groups {groups}"]
    fan = c // groups * kernel[0] * kernel[1]
    x, weights = m.input(n, c, h, w), m.constant(outputs, c // groups, *kernel, scale=fan**-0.5)
    bias = [m.constant(outputs, scale=1e-40 if m.special == "tiny" else 1.0)] if m.chance(0.6) else []
    y = m.node(
        "Conv", x, weights, *bias, strides=strides, dilations=dilations, group=groups, pads=[top, left, bottom, right]
    )
    shape = (n, outputs, oh, ow)
    return _followed(m, _residual(m, y, shape), shape)


def _residual(m: _Maker, y: str, shape: Shape) -> str:
    """An activation, with an addition before or after it, or neither."""
    where = m.pick("none", "none", "before", "after")
    if where == "before":
        m.words.append("Add")
        y = m.node("Add", *m.rng.permutation([y, m.input(*shape)]).tolist())
    if m.chance(0.6):
        y = m.activation(y)
    if where == "after":
        m.words.append("Add")
        y = m.node("Add", y, m.input(*shape))
    return y


def _followed(m: _Maker, y: str, shape: Shape) -> str:
    """A convolution's reader: pooling, joining, another convolution, a view, or nobody."""
    _, c, h, w = shape
    how = m.pick("", "", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Conv", "Flatten")
    m.words += [how] * bool(how)
    if how in ("MaxPool", "AveragePool"):
        size = [m.upto(1, min(3, h)), m.upto(1, min(3, w))]
        return m.node(how, y, kernel_shape=size, strides=[m.upto(1, 2), m.upto(1, 2)])
    if how == "GlobalAveragePool":
        return m.node(how, y)
    if how == "Concat":
        return m.node(how, *m.rng.permutation([y, m.input(shape[0], m.upto(1, 20), h, w)]).tolist(), axis=1)
    if how == "Conv":
        outputs = m.upto(1, 20)
        return m.node(how, y, m.constant(outputs, c, 3, 3, scale=(9 * c) ** -0.5), pads=[1, 1, 1, 1])
    return m.node(how, y, axis=1) if how == "Flatten" else y


def product(m: _Maker) -> str:
    rows, columns = (m.pick(1, m.upto(1, 9), m.upto(1, 70), m.upto(1, 300)) for _ in range(2))
    depth = m.pick(1, m.upto(1, 9), m.upto(1, 70), m.upto(1, 300), m.upto(1, max(300, 2_000_000 // (rows * columns))))
    depth = min(depth, MOST_DEPTH)
    if m.chance(0.5):
        flags = {"transA": m.upto(0, 1), "transB": m.upto(0, 1)}
        a = (depth, rows) if flags["transA"] else (rows, depth)
        b = (columns, depth) if flags["transB"] else (depth, columns)
        m.words += [f"Gemm {rows}×{depth}·{depth}×{columns}", str(flags)]
        scale = depth**-0.5
        added = [m.constant(*m.pick((columns,), (rows, columns), (1, columns), (rows, 1), ()))] if m.chance(0.6) else []
        right = m.constant(*b, scale=scale) if m.chance(0.7) else m.input(*b)
        y = m.node("Gemm", m.input(*a), right, *added, **flags, alpha=m.pick(1.0, 0.5), beta=m.pick(1.0, 0.25))
        return _residual(m, y, (rows, columns))
    batch = m.pick((), (m.upto(1, 4),), (m.upto(1, 3), m.upto(1, 4)))
    other = tuple(m.pick(d, d, 1) for d in batch)[m.upto(0, len(batch)) :]
    m.words.append(f"MatMul {batch}×{rows}×{depth}·{other}×{depth}×{columns}")
    right = m.constant(*other, depth, columns, scale=depth**-0.5) if m.chance(0.5) else m.input(*other, depth, columns)
    return _residual(m, m.node("MatMul", m.input(*batch, rows, depth), right), (*batch, rows, columns))


def pooling(m: _Maker) -> str:
    kind = m.pick("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN")
    kernel = [m.upto(1, 7) for _ in range(2)]
    strides, dilations = ([m.pick(1, 2, m.upto(1, 5)) for _ in "hw"], [m.pick(1, 1, m.upto(1, 3)) for _ in "hw"])
    (h, top, bottom, _), (w, left, right, _) = (
        _axis(m, k, s, d, k - 1) for k, s, d in zip(kernel, strides, dilations, strict=True)
    )
    x = m.input(m.pick(1, 2, m.upto(0, 3)), m.upto(1, 40), h, w)
    m.words += [kind, f"{m.inputs[x].shape}"]
    if kind == "LRN":
        return m.node(kind, x, size=m.pick(1, 3, 5), alpha=m.pick(1e-4, 0.3), beta=m.pick(0.5, 0.75, 0.9), bias=1.0)
    if kind.startswith("Global"):
        return m.node(kind, x)
    dilations = [d if size >= d else 1 for d, size in zip(dilations, (h, w), strict=True)]  # no window steps over all
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "dilations": dilations}
    attributes |= {"pads": [top, left, bottom, right], "ceil_mode": m.upto(0, 1)}
    if kind == "AveragePool":
        attributes["count_include_pad"] = m.upto(0, 1)
    m.words.append(str(attributes))
    return m.node(kind, x, **attributes)


def _sizes(m: _Maker, rank: int, most: int) -> Shape:
    """Dimensions of a tensor that is not too large."""
    made: list[int] = []
    for _ in range(rank):
        room = max(1, MOST_ELEMENTS // int(np.prod(made)))
        made.append(m.pick(1, m.upto(1, min(room, 9)), m.upto(1, min(room, most))))
    return tuple(made)


def broadcast(m: _Maker) -> str:
    """A chain of binary operators on operands that spread, with activations between."""
    shape = _sizes(m, m.upto(1, 5), 40)
    y = m.input(*shape)
    for _ in range(m.upto(1, 5)):
        op = m.pick("Add", "Sub", "Mul", "Max", "Min", "PRelu")
        spread = tuple(m.pick(d, d, 1) for d in shape)[m.upto(0, len(shape) - 1) if m.chance(0.5) else 0 :]
        m.words.append(f"{op} {shape} {spread}")
        other = m.constant(*spread) if m.chance(0.5) else m.input(*spread)
        pair = [y, other] if op == "PRelu" else m.rng.permutation([y, other]).tolist()
        y = m.node(op, *pair)
        if m.chance(0.3):
            y = m.activation(y)
    return y


def reduction(m: _Maker) -> str:
    rank = m.upto(1, 5)
    shape = _sizes(m, rank, 100)
    first = m.upto(0, rank - 1)
    axes = list(range(first, m.upto(first, rank - 1) + 1))
    op = m.pick(*(f"Reduce{name}" for name in ("Sum", "Mean", "Max", "Min", "SumSquare", "L1", "L2")), "Softmax",
                "LogSoftmax", "LayerNormalization", "Transpose")  # fmt: skip
    m.words.append(f"{op} {shape} over {axes}")
    x = m.input(*shape)
    if op.startswith("Reduce"):
        return m.node(op, x, m.initializer(np.array(axes, np.int64)), keepdims=m.upto(0, 1))
    if op == "LayerNormalization":
        normalised = shape[first:]
        return m.node(op, x, m.constant(*normalised), *([m.constant(*normalised)] if m.chance(0.5) else []), axis=first)
    if op == "Transpose":
        return m.node(op, x, perm=m.rng.permutation(rank).tolist())
    return m.node(op, x, axis=first)


KINDS: Mapping[str, Callable[[_Maker], str]] = {
    "conv": convolution,
    "product": product,
    "pool": pooling,
    "broadcast": broadcast,
    "reduction": reduction,
}


def draw(kind: str, seed: int, special: str | None = None) -> Draw:
    """The model of a kind and a seed; a share of them has inputs that are not ordinary numbers."""
    rng = np.random.default_rng([list(KINDS).index(kind), seed])
    chosen = str(rng.choice(SPECIALS))
    maker = _Maker(rng, special or chosen)
    y = KINDS[kind](maker)
    return maker.draw(kind, seed, y, dynamic=kind in ("conv", "pool"))
