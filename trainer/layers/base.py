"""What every layer is: arguments under Keras's names, weights, and `emit`, which adds the layer's nodes to a graph.

A new layer is a class with three methods at most: `check` refuses shapes that do not fit, `build` declares weights with
`add_weight`, `emit(g, *inputs)` adds nodes and returns the output. Every constructor argument is kept in an attribute
of the same name; saving relies on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NoReturn

import numpy as np
import onnx_ir as ir

from ...runtime.builder import OPSET, Builder
from ...runtime.errors import InvalidGraph, InvalidInput, InvalidModel
from ...runtime.inference import set_type, value_type
from .. import activations, initializers, regularizers
from ..naming import snake_case
from .parameter import Layout, Parameter

__all__ = ["BATCH", "Call", "Layer", "LayerBuilder", "Shape", "Tensor", "run_emit"]

Shape = tuple[int | None, ...]
BATCH = "batch"
"""The name that an open batch dimension has in graphs."""

_order = count()


class Tensor:
    """A value that does not exist yet: the output of a layer's call. `shape` includes the batch; None: open."""

    def __init__(self, shape: Shape, dtype: str, call: Call) -> None:
        self.shape = shape
        self.dtype = dtype
        self.call = call

    def __repr__(self) -> str:
        return f"<Tensor {self.shape} {self.dtype} of layer {self.call.layer.name!r}>"


class Call:
    """One use of a layer. `order` rises with time, so sorting by it is a topological sort."""

    def __init__(self, layer: Layer, inputs: tuple[Tensor, ...], shape: Shape, dtype: str) -> None:
        self.layer = layer
        self.inputs = inputs
        self.output = Tensor(shape, dtype, self)
        self.order = next(_order)


class LayerBuilder(Builder):
    """A builder that takes `Parameter`s as inputs: each becomes one value of the graph.

    `names` gives the parameters' names and makes them initializers; without it they are graph inputs, never computed,
    which is enough to learn shapes.
    """

    def __init__(self, graph: ir.Graph, names: Mapping[Parameter, str] | None = None) -> None:
        super().__init__(graph)
        self._parameter_names = names
        self._parameters: dict[Parameter, ir.Value] = {}

    def op(self, op_type: str, *inputs: Any, **kwargs: Any) -> Any:
        values = (self.parameter(x) if isinstance(x, Parameter) else x for x in inputs)
        return super().op(op_type, *values, **kwargs)

    def input(self, name: str, shape: Shape, dtype: str) -> ir.Value:
        """A new input of the graph; an open first dimension is called `batch`."""
        dims = [BATCH if i == 0 and d is None else d for i, d in enumerate(shape)]
        onnx_type = ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype)))
        value = ir.Value(name=name, shape=ir.Shape(dims), type=onnx_type)
        self.graph.inputs.append(value)
        self._names.add(name)
        return value

    def parameter(self, parameter: Parameter) -> ir.Value:
        """The value that stands for `parameter` in this graph."""
        if parameter not in self._parameters:
            self._parameters[parameter] = self._declare(parameter)
        return self._parameters[parameter]

    def _declare(self, parameter: Parameter) -> ir.Value:
        if self._parameter_names is None:
            return self.input(parameter.name, parameter.shape, "float32")
        name = self._parameter_names[parameter]
        tensor = ir.LazyTensor(
            lambda: ir.tensor(parameter.value, name=name), ir.DataType.FLOAT, ir.Shape(parameter.shape), name=name
        )
        value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        self._names.add(name)
        return value


class Layer:
    """Base of all layers.

    Args:
        name: must be unique in a model; default: made by the model from the class's name, as Keras does.
        trainable: False freezes the layer's weights, and makes batch normalization use its running statistics.
        dtype: of the weights and of arithmetic: float32.
        input_shape, batch_size: of the first layer of a `Sequential`; `input_shape` is without the batch.
    """

    accepts_integers = False
    """Whether inputs may be integers; all other layers need float32."""
    input_dtype = "float32"
    """What a `Sequential` that begins with this layer takes."""
    takes_many = False
    """Whether the layer is called on a list of tensors."""

    def __init__(self, name: str | None = None, trainable: bool = True, dtype: Any = None, **kwargs: Any) -> None:
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise InvalidInput(f"layer name {name!r} does not fit; expected a non-empty string without '/'")
        self._name = name
        self.auto_named = name is None
        self.seed_of_weights: int | None = None
        self.trainable = trainable
        self.dtype = "float32" if dtype is None else dtype
        self.built = False
        self.calls: list[Call] = []
        self._weights: dict[str, Parameter] = {}
        self.declared_input = _declared_input(kwargs)
        if self.dtype != "float32":
            self.refuse(f"dtype {dtype!r} is not supported; expected 'float32'")
        self._refuse_unknown(kwargs)

    @property
    def name(self) -> str:
        """The layer's name; before a model gave one, that of its class."""
        return self._name or snake_case(type(self).__name__)

    @property
    def is_named(self) -> bool:
        return self._name is not None

    def give_name(self, name: str, seed: int) -> None:
        """Called by the first model the layer becomes part of; later models leave both as they are."""
        if self._name is None:
            self._name = name
        if self.seed_of_weights is None:
            self.seed_of_weights = seed

    def check(self, input_shape: Any) -> None:
        """Refuses input shapes that do not fit. For layers of several inputs `input_shape` is a list of shapes.

        Raises:
            InvalidInput: naming the layer, what was found and what was expected.
        """

    def build(self, input_shape: Any) -> None:
        """Declares the weights, with `add_weight`."""

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        """Adds the layer's nodes and returns its output; weights are inputs as they are: `g.MatMul(x, self.kernel)`."""
        raise NotImplementedError(f"layer class {type(self).__name__} has no method emit")

    def __call__(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """The layer's output for symbolic inputs; builds the layer on its first call.

        Raises:
            InvalidInput: if the inputs do not fit the layer.
        """
        tensors = self._tensors(inputs)
        shapes = [t.shape for t in tensors]
        shape: Any = shapes if self.takes_many else shapes[0]
        self.check(shape)
        if not self.built and not self._weights:
            self.build(shape)
        self.built = True
        call = Call(self, tensors, *self._output_type(tensors))
        self.calls.append(call)
        return call.output

    def add_weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        trainable: bool = True,
        layout: Layout | None = None,
    ) -> Parameter:
        """Declares a weight; its values are made when they are first asked for.

        Args:
            shape: in Keras's order of dimensions, which `get_weights` and the initializer see.
            layout: how the graph wants it, where that differs.
        """
        if name in self._weights:
            self.refuse(f"it has a weight {name!r} already")
        parameter = Parameter(
            name,
            tuple(int(d) for d in shape),
            initializers.get(initializer),
            layout=layout,
            regularizer=regularizers.get(regularizer),
            trainable=trainable,
            layer=self,
        )
        self._weights[name] = parameter
        return parameter

    @property
    def weights(self) -> list[Parameter]:
        return list(self._weights.values())

    @property
    def trainable_weights(self) -> list[Parameter]:
        return [w for w in self.weights if w.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        return [w for w in self.weights if not w.trainable]

    def unbuild(self) -> None:
        """Forgets weights and calls, as if the layer had never been called."""
        self.built = False
        self._weights.clear()
        self.calls.clear()

    def count_params(self) -> int:
        """How many numbers the layer's weights hold."""
        return sum(w.size for w in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights in Keras's order and layouts: kernels are (*spatial, in, out)."""
        return [w.to_keras() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights, in the order and layouts of `get_weights`.

        Raises:
            InvalidInput: if their number or shapes differ; no weight is changed then.
        """
        if len(weights) != len(self.weights):
            self.refuse(f"{len(weights)} weight arrays were given, it has {len(self.weights)}")
        for own, array in zip(self.weights, weights, strict=True):
            own.check_keras(np.asarray(array))
        for own, array in zip(self.weights, weights, strict=True):
            own.from_keras(np.asarray(array))

    @property
    def output(self) -> Tensor:
        """The output of the layer's only call."""
        return self._only_call().output

    @property
    def input(self) -> Tensor | list[Tensor]:
        """The input of the layer's only call, a list of them if it takes many."""
        inputs = list(self._only_call().inputs)
        return inputs if self.takes_many else inputs[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON-ready values.

        Raises:
            InvalidInput: if one is a function or object that cannot be written down.
        """
        config = {name: _plain(name, getattr(self, name)) for name in _argument_names(type(self))}
        return config | {"name": self._name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Layer:
        """A layer from `get_config`'s values; weights are not part of them."""
        return cls(**config)

    def serialize(self) -> dict[str, Any]:
        """`{"class_name": …, "config": …}`"""
        return {"class_name": type(self).__name__, "config": self.get_config()}

    def refuse(self, reason: str) -> NoReturn:
        """Raises InvalidInput with the layer's name before the reason."""
        raise InvalidInput(f"layer {self.name!r} ({type(self).__name__}): {reason}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def _only_call(self) -> Call:
        if len(self.calls) != 1:
            self.refuse(f"it was called {len(self.calls)} times, so it has no one input and output")
        return self.calls[0]

    def _tensors(self, inputs: Any) -> tuple[Tensor, ...]:
        tensors = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
        for x in tensors:
            if not isinstance(x, Tensor):
                self.refuse(
                    f"it was called on {type(x).__name__}; layers are called on the tensors that Input or other layers "
                    "return, and arrays are given to model.predict"
                )
            if not self.accepts_integers and np.dtype(x.dtype).kind != "f":
                self.refuse(f"its input has dtype {x.dtype}, expected float32; put a Rescaling layer before it")
        if not self.takes_many and len(tensors) != 1:
            self.refuse(f"it was called on {len(tensors)} tensors, expected one")
        return tensors

    def _output_type(self, tensors: Sequence[Tensor]) -> tuple[Shape, str]:
        """Shape and dtype of the output, learnt by adding the nodes to a graph that is then thrown away."""
        g = LayerBuilder(ir.Graph([], [], nodes=[], opset_imports={"": OPSET}))
        values = [g.input(f"input{i}", t.shape, t.dtype) for i, t in enumerate(tensors)]
        try:
            output = run_emit(self, g, values)
        except (InvalidInput, InvalidGraph) as error:
            if isinstance(error, InvalidInput) and repr(self.name) in str(error):
                raise
            shapes = ", ".join(str(t.shape) for t in tensors)
            self.refuse(f"it does not fit the input shape {shapes}: {error}")
        dtype, shape = value_type(output)
        if dtype is None or shape is None:
            raise InvalidModel(
                f"layer {self.name!r} ({type(self).__name__}): the rank of its output cannot be inferred"
            )
        known = tuple(d if isinstance(d, int) else None for d in shape)
        if any(d == 0 for d in known):
            self.refuse(f"its output shape for input {tensors[0].shape} would be {known}, which is empty")
        return known, dtype.numpy().name

    def _refuse_unknown(self, kwargs: Mapping[str, Any]) -> None:
        for name, value in kwargs.items():
            if name.endswith(("_constraint", "activity_regularizer")):
                if value is not None:
                    self.refuse(f"{name} is not supported; leave it out")
            else:
                known = ", ".join(_argument_names(type(self)))
                self.refuse(f"it has no argument {name!r}; its arguments are: {known}")


def run_emit(layer: Layer, g: LayerBuilder, values: Sequence[ir.Value]) -> ir.Value:
    """The layer's output value; keeps the batch dimension where ONNX's inference loses it."""
    output = layer.emit(g, *values)
    dtype, shape = value_type(output)
    _, first = value_type(values[0])
    if shape and first and shape[0] is None:
        set_type(output, dtype, (first[0], *shape[1:]))
    return output


def _declared_input(kwargs: dict[str, Any]) -> Shape | None:
    """The batch shape that Keras's arguments of a first layer declare; takes them out of `kwargs`."""
    batch_shape = kwargs.pop("batch_input_shape", None)
    shape = kwargs.pop("input_shape", None)
    dim = kwargs.pop("input_dim", None)
    batch_size = kwargs.pop("batch_size", None)
    if batch_shape is not None:
        return tuple(batch_shape)
    shape = (dim,) if shape is None and dim is not None else shape
    return None if shape is None else (batch_size, *((shape,) if isinstance(shape, int) else shape))


def _argument_names(cls: type[Layer]) -> list[str]:
    """The names of a layer's constructor arguments, those it passes on to its base classes included."""
    names: dict[str, None] = {}
    for owner in cls.__mro__:
        if "__init__" not in vars(owner):
            continue
        parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]
        names |= {p.name: None for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if owner is Layer or not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return list(names)


def _plain(name: str, value: Any) -> Any:
    """An argument's value as JSON has it."""
    if name.endswith("initializer"):
        return initializers.serialize(value)
    if name.endswith("regularizer"):
        return regularizers.serialize(value)
    if name == "activation":
        return activations.serialize(value)
    if isinstance(value, tuple):
        return [_plain("", v) for v in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
