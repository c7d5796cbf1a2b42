"""Counting a network as it is done by hand: neurons, weights with and without sharing, connections, layer by layer.

A neuron (unit) is one number of a layer's output. A connection is one number that a neuron looks at, its bias being one
more; each connection has a weight. Without sharing every connection would have a weight of its own; with sharing there
are as many weights as are stored. So Y. LeCun counts ("Generalization and network design strategies", 1989;
"Gradient-based learning applied to document recognition", 1998). Layers that only compute something of each number
(activations, batch normalisation, dropout) have no neurons of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from . import layers
from .layers.base import Call

if TYPE_CHECKING:
    from .model import Model

__all__ = ["LayerCount", "Window", "count", "output_size"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCount:
    """One call of a layer, for one example. None is what is not known, because a dimension is open.

    Attributes:
        output: shape without the batch.
        neurons: of the layer; 0 for layers that have none of their own.
        weights: stored numbers, `trainable` of which training changes; a layer that is called again has none.
        unshared: weights if no two connections shared one.
        connections: see the module.
        macs: multiply-accumulates.
        field, stride: how many positions of the model's input a neuron sees along each spatial axis, and how far apart
            neighbours look.
    """

    name: str
    kind: str
    output: tuple[int | None, ...]
    neurons: int | None
    weights: int
    trainable: int
    unshared: int | None
    connections: int | None
    macs: int | None
    field: tuple[float | None, ...]
    stride: tuple[int | None, ...]


def count(model: Model) -> list[LayerCount]:
    """What each layer of a model has, inputs first, in the order in which layers are called.

    Args:
        model: of any number of inputs and outputs, built.
    """
    costs = _costs(model)
    rows = [
        LayerCount(name, "InputLayer", shape[1:], _product(shape[1:]), 0, 0, 0, 0, 0, (), ())
        for name, shape, _ in model.input_specs
    ]
    seen: set[Any] = set()
    for call in model.calls:
        layer, name = call.layer, model.name_of(call.layer)
        new = layer not in seen
        seen.add(layer)
        found = _units(call)
        macs, field, stride = costs.get(name, (None, (), ()))
        rows.append(
            LayerCount(
                name,
                type(layer).__name__,
                call.output.shape[1:],
                None if found is None else found.neurons,
                layer.count_params() if new else 0,
                sum(w.size for w in layer.trainable_weights) if new and layer.trainable else 0,
                None if found is None else found.unshared,
                None if found is None else found.connections,
                macs,
                field,
                stride,
            )
        )
    return rows


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """V = ⌊(W - F + 2P) / S⌋ + 1: how many places a kernel of F numbers has along W, moved by S, P on both sides."""
    return (size - kernel + 2 * padding) // stride + 1


@dataclass(frozen=True)
class Window:
    """A convolution counted by hand, beside a layer that connects everything with everything.

    Args:
        height, width, channels: of the input.
        kernel: height and width.
        filters: maps of the output.
        stride, padding: in both directions; padding on each side.
        bias: whether each filter has one.
    """

    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    filters: int = 1
    stride: int = 1
    padding: int = 0
    bias: bool = True

    @property
    def output(self) -> tuple[int, int, int]:
        """Height, width, maps."""
        sides = zip((self.height, self.width), self.kernel, strict=True)
        rows, columns = (output_size(n, k, self.stride, self.padding) for n, k in sides)
        return rows, columns, self.filters

    @property
    def neurons(self) -> int:
        return prod(self.output)

    @property
    def fan_in(self) -> int:
        """Numbers that a neuron looks at, without the bias."""
        return prod(self.kernel) * self.channels

    @property
    def connections(self) -> int:
        """outputHeight · outputWidth · maps · (filterHeight · filterWidth · channels + bias)"""
        return self.neurons * (self.fan_in + self.bias)

    unshared = connections

    @property
    def weights(self) -> int:
        """maps · (filterHeight · filterWidth · channels + bias)"""
        return self.filters * (self.fan_in + self.bias)

    @property
    def dense_weights(self) -> int:
        """Of a layer that connects every input with every output, bias left out: its multiplications, too."""
        return self.height * self.width * self.channels * self.neurons

    @property
    def operations(self) -> int:
        """Multiplications and additions: k of the ones and k - 1 of the others for each neuron."""
        return self.neurons * (2 * self.fan_in - 1)


@dataclass(frozen=True)
class _Units:
    neurons: int
    connections: int
    unshared: int


def _units(call: Call) -> _Units | None:
    """Of one call; None where a dimension is open."""
    rule = next((rule for kinds, rule in RULES.items() if isinstance(call.layer, kinds)), None)
    if rule is None:
        return _Units(0, 0, 0)
    shapes = [t.shape[1:] for t in (*call.inputs, call.output)]
    if any(d is None for shape in shapes for d in shape):
        return None
    return rule(call.layer, *(tuple(int(d or 0) for d in shape) for shape in shapes))


def _dense(layer: Any, x: Shape, y: Shape) -> _Units:
    return _weighted(prod(y), prod(y) * x[-1], bool(getattr(layer, "use_bias", False)))


def _conv(layer: Any, x: Shape, y: Shape) -> _Units:
    neurons, reach = prod(y), prod(layer.kernel_size)
    table = getattr(layer, "connections", None)
    if table is None:
        fan_in = reach * layer.channels((None, *x)) // getattr(layer, "groups", 1)
        return _weighted(neurons, neurons * fan_in, layer.use_bias)
    return _weighted(neurons, neurons // layer.filters * reach * sum(map(len, table)), layer.use_bias)


def _transposed(layer: Any, x: Shape, y: Shape) -> _Units:
    """Every input is spread over a window."""
    return _weighted(prod(y), prod(x) * prod(layer.kernel_size) * layer.filters, layer.use_bias)


def _depthwise(layer: Any, x: Shape, y: Shape) -> _Units:
    return _weighted(prod(y), prod(y) * prod(layer.kernel_size), layer.use_bias)


def _separable(layer: Any, x: Shape, y: Shape) -> _Units:
    """Two layers in one: the depthwise one has no bias."""
    maps = layer.channels((None, *x)) * layer.depth_multiplier
    first = prod(y) // layer.filters * maps
    second = _weighted(prod(y), prod(y) * maps, layer.use_bias)
    between = first * prod(layer.kernel_size)
    return _Units(first + second.neurons, between + second.connections, between + second.unshared)


def _pooling(layer: Any, x: Shape, y: Shape) -> _Units:
    return _Units(prod(y), prod(y) * prod(layer.pool_size), 0)


def _global(layer: Any, x: Shape, y: Shape) -> _Units:
    return _Units(prod(y), prod(x), 0)


def _subsampling(layer: Any, x: Shape, y: Shape) -> _Units:
    """A coefficient and a bias for each map, or without sharing for each neuron."""
    return _Units(prod(y), prod(y) * (prod(layer.pool_size) + 1), 2 * prod(y))


def _unit_bias(layer: Any, x: Shape, y: Shape) -> _Units:
    """The bias of neurons that the layer before it has."""
    return _Units(0, prod(y), prod(y))


def _weighted(neurons: int, connections: int, bias: bool) -> _Units:
    connections += neurons * bias
    return _Units(neurons, connections, connections)


Rule = Callable[..., _Units]
RULES: dict[tuple[type, ...], Rule] = {
    (layers.Dense, layers.RBF): _dense,
    (layers.SeparableConv1D, layers.SeparableConv2D): _separable,
    (layers.DepthwiseConv1D, layers.DepthwiseConv2D): _depthwise,
    (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose): _transposed,
    (
        layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Conv2DTable, layers.LocallyConnected1D,
        layers.LocallyConnected2D,
    ): _conv,
    (layers.Subsampling2D,): _subsampling,
    (
        layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D, layers.AveragePooling1D,
        layers.AveragePooling2D, layers.AveragePooling3D, layers.L2Pooling1D, layers.L2Pooling2D,
    ): _pooling,
    (
        layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D, layers.GlobalAveragePooling1D,
        layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D,
    ): _global,
    (layers.UnitBias,): _unit_bias,
}  # fmt: skip
"""Layers that have neurons; all others compute something of each number that there is."""

Cost = tuple[int | None, tuple[float | None, ...], tuple[int | None, ...]]


def _costs(model: Model) -> dict[str, Cost]:
    """MACs, receptive field and stride of each layer, by name, from the nodes of its graph."""
    from ..runtime.cost import analyse

    found: dict[str, Cost] = {}
    for node in analyse(model.to_ir()).nodes:
        name = node.name.partition("/")[0]
        macs, field, stride = found.get(name, (0, (), ()))
        total = None if macs is None or node.macs is None else macs + node.macs
        found[name] = (total, node.field or field, node.stride or stride)
    return found


def _product(shape: tuple[int | None, ...]) -> int | None:
    return None if any(d is None for d in shape) else prod(d for d in shape if d is not None)
