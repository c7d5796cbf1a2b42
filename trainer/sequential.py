"""Models that are one layer after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..runtime.errors import InvalidInput
from .layers import InputLayer, Layer, Tensor
from .model import Model

__all__ = ["Sequential"]


class Sequential(Model):
    """One layer after the other.

    Args:
        layers: the first may be an `Input`, or declare `input_shape`; else the first data given to `fit` decides.
        seed: of the initial weights; default: the global seed.
    """

    default_name = "sequential"

    def __init__(self, layers: Sequence[Any] | None = None, name: str | None = None, seed: int | None = None) -> None:
        self._start(name, seed)
        self._stack: list[Layer | Model] = []
        self._tensors: list[Tensor] = []
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Layer | Model | Tensor) -> None:
        """Appends a layer, or a model, whose layers become this one's.

        Raises:
            InvalidInput: if it does not fit what is there; nothing is added then.
        """
        with self._all_or_nothing():
            self._add(layer.call.layer if isinstance(layer, Tensor) else layer)

    def _add(self, layer: Layer | Model) -> None:
        if isinstance(layer, InputLayer):
            if self._stack and not self.built:
                raise InvalidInput(f"model {self.name!r} has layers already; its input {layer.name!r} must come first")
            self._begin(layer)
        elif isinstance(layer, Sequential):
            if layer.built and not self.built and not self._stack:
                self._begin(layer.input_layers[0])
            for inner in list(layer._stack):
                self._add(inner)
        elif not isinstance(layer, (Layer, Model)):
            raise InvalidInput(f"model {self.name!r}: {layer!r} is not a layer; expected for example layers.Dense(10)")
        elif layer in self._stack:
            raise InvalidInput(
                f"model {self.name!r} has layer {layer.name!r} already; a Sequential uses each layer once"
            )
        else:
            self._put(layer)

    def _put(self, layer: Layer | Model) -> None:
        """Appends a layer or branching model; the first one may bring the input with it."""
        if not self.built and not self._stack:
            if isinstance(layer, Model):
                self._begin(layer.input_layers[0])
            elif layer.declared_input is not None:
                self._begin(InputLayer(batch_shape=layer.declared_input, dtype=layer.input_dtype))
        if isinstance(layer, Layer):
            self._name_layers([layer])
        if self.built:
            self._append(layer)
        self._stack.append(layer)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """What fails inside leaves the model, and layers that were not built before, as they were."""
        before = dict(vars(self))
        names, tensors, stack = dict(self._names), list(self._tensors), list(self._stack)
        unbuilt = [item for item in stack if isinstance(item, Layer) and not item.built]
        try:
            yield
        except BaseException:
            vars(self).update(before)
            self._names, self._tensors, self._stack = names, tensors, stack
            for layer in unbuilt:
                layer.unbuild()
            raise

    def _begin(self, layer: InputLayer) -> None:
        if self.built:
            raise InvalidInput(f"model {self.name!r} has an input already, {layer.name!r} cannot be another")
        self._connect([layer.output], [layer.output])
        self._tensors = [layer.output]

    def _append(self, layer: Layer | Model) -> None:
        output = layer(self._tensors[-1])
        if not isinstance(output, Tensor):
            raise InvalidInput(
                f"model {self.name!r}: {layer.name!r} has several outputs; a Sequential needs exactly one"
            )
        self._tensors.append(output)
        self._connect(self.inputs, [output])

    def pop(self) -> Layer | Model:
        """Takes the last layer off, and returns it.

        Raises:
            InvalidInput: if there is none.
        """
        if not self._stack:
            raise InvalidInput(f"model {self.name!r} has no layers")
        layer = self._stack.pop()
        if self.built:
            self._tensors.pop()
            self._connect(self.inputs, [self._tensors[-1]])
        kept = {*self.all_layers, *self._stack}
        self._names = {own: name for own, name in self._names.items() if own in kept}
        return layer

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input."""
        if not self.built:
            return [inner for item in self._stack for inner in ([item] if isinstance(item, Layer) else item.layers)]
        return [layer for layer in self.all_layers if layer not in self.input_layers]

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Makes the weights for inputs of this shape, batch included, unless it is known already.

        Raises:
            InvalidInput: if a layer does not fit.
        """
        if self.built:
            return
        if input_shape is None or not self._stack:
            raise InvalidInput(
                f"model {self.name!r} cannot be built: it has no {'layers' if input_shape else 'input shape'}"
            )
        first = self._stack[0]
        dtype = first.input_dtype if isinstance(first, Layer) else "float32"
        with self._all_or_nothing():
            self._begin(InputLayer(shape=tuple(input_shape)[1:], dtype=dtype))
            for layer in self._stack:
                self._append(layer)

    @property
    def serialize_as(self) -> str:
        """A chain that holds a branching model is restored as a `Model`."""
        return "Model" if any(isinstance(item, Model) for item in self._stack) else "Sequential"
