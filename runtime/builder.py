"""Adds nodes to a graph, with their types inferred: `g.Conv(x, w, strides=[2, 2])`.

Layers, gradient rules and passes all build through here. A Python list or array given as an input becomes a constant; a
Python number becomes a scalar of the first input's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx_ir as ir

from .errors import NotDifferentiable
from .inference import annotate, constant, value_type
from .ops import registry
from .subgraphs import walk

OPSET = 21
"""The opset that layers, gradients and passes write. Imported models are converted to it before training."""
OPSETS = {"": OPSET, "ai.onnx.ml": 5}
"""The same by domain; of all others, 1."""

Input = ir.Value | np.ndarray | np.generic | Sequence[int] | Sequence[float] | float | None


class Builder:
    """Appends to `graph`, or inserts before the node `before` where one is given."""

    def __init__(self, graph: ir.Graph, *, before: ir.Node | None = None) -> None:
        self.graph = graph
        self.before = before
        self._scopes: list[str] = []
        self._names = {n for node in graph for n in (node.name, *(v.name for v in node.outputs)) if n}
        self._names |= {v.name for v in (*graph.inputs, *graph.initializers.values()) if v.name}
        self._scalars: dict[tuple[str, bytes], ir.Value] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names of nodes and values added inside start with `name/`."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    def unique(self, name: str) -> str:
        """`name` within the current scopes, numbered if it is taken."""
        base = candidate = "/".join((*self._scopes, name))
        count = 0
        while candidate in self._names:
            count += 1
            candidate = f"{base}_{count}"
        self._names.add(candidate)
        return candidate

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        if not op_type[0].isupper():
            raise AttributeError(op_type)
        return lambda *inputs, **kwargs: self.op(op_type, *inputs, **kwargs)

    def op(
        self,
        op_type: str,
        *inputs: Input,
        outputs: int = 1,
        name: str | None = None,
        domain: str | None = None,
        **attributes: Any,
    ) -> Any:
        """Adds one node; returns its output value, or a tuple of them if `outputs` is more than one.

        Without a `domain` operators that only `striate.grad` has are found there, all others in ai.onnx. An attribute
        of value None is left out.

        Raises:
            InvalidGraph: if the inputs do not fit the operator.
        """
        if domain is None:
            domain = registry.GRAD_DOMAIN if registry.find(registry.GRAD_DOMAIN, op_type, 1) else ""
        version = self.graph.opset_imports.setdefault(domain, OPSETS.get(domain, 1))
        operator = registry.lookup(domain, op_type, version)
        operator.bind({k: v for k, v in attributes.items() if v is not None})
        for inner in (g for a in attributes.values() if isinstance(a, ir.Graph) for g in walk(a)):
            inner.opset_imports.update(self.graph.opset_imports)
        like = next((x for x in inputs if isinstance(x, ir.Value)), None)
        values = [self.value(x, like=like) for x in inputs]
        while values and values[-1] is None:
            values.pop()
        node_name = self.unique(name or op_type)
        node = ir.node(
            op_type,
            values,
            {k: _attribute(v) for k, v in attributes.items() if v is not None},
            domain=domain,
            num_outputs=outputs,
            name=node_name,
        )
        for i, output in enumerate(node.outputs):
            output.name = output_name(node_name, i)
        annotate(node, version)
        if self.before is None:
            self.graph.append(node)
        else:
            self.graph.insert_before(self.before, node)
        return node.outputs[0] if outputs == 1 else tuple(node.outputs)

    def value(self, x: Input, *, like: ir.Value | None = None) -> ir.Value | None:
        """`x` as a value of the graph: numbers take the dtype of `like`, lists and arrays become constants."""
        if x is None or isinstance(x, ir.Value):
            return x
        if isinstance(x, (bool, int, float)) and like is not None and like.dtype is not None:
            x = np.asarray(x, like.dtype.numpy())
        elif isinstance(x, (list, tuple)):
            x = np.asarray(x, np.float32 if any(isinstance(i, float) for i in x) else np.int64)
        return self.constant(np.asarray(x))

    def constant(self, array: np.ndarray, name: str = "const") -> ir.Value:
        """A constant of the graph; small equal constants are shared."""
        key = (f"{array.dtype}{array.shape}", array.tobytes()) if array.size <= 16 and array.dtype != object else None
        if key is not None and key in self._scalars:
            return self._scalars[key]
        value = self.initializer(array, self.unique(name))
        if key is not None:
            self._scalars[key] = value
        return value

    def initializer(self, content: np.ndarray | ir.TensorProtocol, name: str) -> ir.Value:
        """A named constant of the graph, such as a weight."""
        tensor = ir.Tensor(content, name=name) if isinstance(content, np.ndarray) else content
        tensor.name = name
        shape = ir.Shape(tensor.shape.numpy())
        value = ir.Value(name=name, shape=shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        self._names.add(name)
        return value

    def like(self, number: float, x: ir.Value) -> ir.Value:
        """A scalar constant with the dtype of `x`."""
        assert x.dtype is not None
        return self.constant(np.asarray(number, x.dtype.numpy()))

    def shape_of(self, x: ir.Value) -> ir.Value:
        """The shape of `x` as an int64 vector: a constant when it is known, else a `Shape` node."""
        _, shape = value_type(x)
        if shape is not None and all(isinstance(d, int) for d in shape):
            return self.constant(np.asarray(shape, np.int64))
        return self.Shape(x)

    def axes_size(self, x: ir.Value, axes: Sequence[int]) -> ir.Value:
        """How many elements the given axes of `x` span, as a scalar of x's dtype."""
        assert x.dtype is not None
        _, shape = value_type(x)
        sizes = [shape[a] for a in axes] if shape is not None else [None]
        if all(isinstance(d, int) for d in sizes):
            return self.like(float(np.prod([int(d) for d in sizes if isinstance(d, int)])), x)
        picked = self.Gather(self.Shape(x), np.asarray(axes, np.int64))
        return self.Cast(self.ReduceProd(picked, keepdims=0), to=x.dtype.value)

    def zeros_like(self, x: ir.Value) -> ir.Value:
        """A tensor of zeros with the dtype and shape of `x`."""
        assert x.dtype is not None
        return self.ConstantOfShape(self.shape_of(x), value=np.zeros(1, x.dtype.numpy()))


class NodeView:
    """What a gradient rule sees of a node: `inputs`, `outputs`, and `attrs` with the kernel's defaults filled in."""

    def __init__(self, node: ir.Node, operator: registry.Operator, builder: Builder) -> None:
        self.node = node
        self.operator = operator
        self._builder = builder
        self.inputs: list[ir.Value | None] = list(node.inputs)
        self.inputs += [None] * (len(operator.inputs) - len(self.inputs))
        self.attrs: dict[str, Any] = operator.bind(attributes(node))

    @property
    def outputs(self) -> Sequence[ir.Value]:
        return self.node.outputs

    def output(self, index: int) -> ir.Value:
        """The node's output at `index`, added to the node if it was optional and not asked for so far."""
        if index >= len(self.node.outputs):
            self.node.resize_outputs(index + 1)
        for i, value in enumerate(self.node.outputs):
            if not value.name:
                value.name = self._builder.unique(output_name(self.node.name or self.node.op_type, i))
        annotate(self.node, self._builder.graph.opset_imports[self.node.domain])
        return self.node.outputs[index]

    def shape(self, index: int) -> tuple[int | str | None, ...]:
        """The dimensions of input `index`; the rank must be known."""
        value = self.inputs[index]
        assert value is not None
        _, shape = value_type(value)
        if shape is None:
            raise _no_gradient(self.node, f"the rank of its input {value.name!r} is unknown")
        return shape

    def static_shape(self, index: int, axes: slice = slice(None)) -> tuple[int, ...]:
        """Those dimensions of input `index` as ints; they must be known."""
        shape = self.shape(index)[axes]
        if not all(isinstance(d, int) for d in shape):
            raise _no_gradient(self.node, f"the dimensions {shape} of its input {index} must be known numbers")
        return tuple(int(d) for d in shape if isinstance(d, int))

    def constant(self, index: int) -> np.ndarray:
        """The value of input `index`, which must be known when the gradient is built (axes, repeats, ...)."""
        value = self.inputs[index] if index < len(self.inputs) else None
        array = constant(value)
        if array is None:
            raise _no_gradient(self.node, f"its input {index} must be a constant")
        return array


def _no_gradient(node: ir.Node, reason: str) -> NotDifferentiable:
    return NotDifferentiable(f"cannot differentiate node {node.name!r} ({node.op_type}): {reason}")


def output_name(node_name: str, index: int) -> str:
    """The name of a node's output: the node's own for the first, `node:1` and so on for the others."""
    return f"{node_name}:{index}" if index else node_name


def attributes(node: ir.Node) -> dict[str, Any]:
    """The attributes of a node as kernels take them: tuples, strings, NumPy arrays."""
    return {name: _plain(a) for name, a in node.attributes.items()}


def _plain(attribute: ir.Attr) -> Any:
    value = attribute.value
    if attribute.type == ir.AttributeType.TENSOR:
        return value.numpy()
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return value


def _attribute(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ir.tensor(value)
    if isinstance(value, (bool, np.bool_, np.integer)):
        return int(value)
    if isinstance(value, (list, tuple)):
        return [int(v) if isinstance(v, (bool, np.integer)) else v for v in value]
    return value
