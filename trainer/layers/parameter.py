"""Weights: NumPy arrays with a name, made from their initializer when first asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...runtime.errors import InvalidInput
from ..initializers import Initializer
from ..regularizers import Regularizer
from ..seeding import get_seed

if TYPE_CHECKING:
    from .base import Layer

__all__ = ["Layout", "Parameter"]


class Layout(NamedTuple):
    """How the graph stores a weight: Keras's array is `stored.reshape(split).transpose(perm)`."""

    stored: tuple[int, ...]
    split: tuple[int, ...]
    perm: tuple[int, ...]


class Parameter:
    """A weight.

    Args:
        local_name: within the layer: `kernel`. The whole `name` is `conv2d/kernel`.
        keras_shape: in Keras's layout, which the initializer sees.
        layout: how the graph stores it, where that differs.
        trainable: False for running statistics and the like.
        layer: whose name it carries, and whose `trainable` freezes it; None for a free-standing parameter.
    """

    def __init__(
        self,
        local_name: str,
        keras_shape: tuple[int, ...],
        initializer: Initializer,
        *,
        layout: Layout | None = None,
        regularizer: Regularizer | None = None,
        trainable: bool = True,
        layer: Layer | None = None,
    ) -> None:
        self.local_name = local_name
        self.keras_shape = keras_shape
        self.initializer = initializer
        self.layout = layout
        self.regularizer = regularizer
        self.layer = layer
        self._trainable = trainable
        self._value: np.ndarray | None = None
        self.shape = keras_shape if layout is None else layout.stored

    @property
    def name(self) -> str:
        return self.local_name if self.layer is None else f"{self.layer.name}/{self.local_name}"

    def renamed(self, name: str) -> Parameter:
        """The same parameter, values shared, under the name it has in another model."""
        return _Renamed(self, name)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def trainable(self) -> bool:
        """Whether training changes it: it is a weight to be trained, and its layer is not frozen."""
        return self._trainable and not self.frozen

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def frozen(self) -> bool:
        """Whether its layer is frozen: then running statistics stay as they are, too."""
        return self.layer is not None and not self.layer.trainable

    @property
    def value(self) -> np.ndarray:
        """The float32 array in the graph's layout, of `shape`; a function of seed and name until it is set."""
        if self._value is None:
            seed = None if self.layer is None else self.layer.seed_of_weights
            initial = self.initializer(self.keras_shape, seed=get_seed() if seed is None else seed, name=self.name)
            self.from_keras(initial)
        assert self._value is not None
        return self._value

    @value.setter
    def value(self, array: np.ndarray) -> None:
        array = np.asarray(array)
        if array.shape != self.shape:
            raise InvalidInput(f"weight {self.name!r} was given shape {array.shape}, expected {self.shape}")
        self._store(array)

    def numpy(self) -> np.ndarray:
        """A copy of the value in Keras's layout."""
        return self.to_keras()

    def to_keras(self) -> np.ndarray:
        """A copy of the value in Keras's layout."""
        if self.layout is None:
            return self.value.copy()
        return self.value.reshape(self.layout.split).transpose(self.layout.perm).copy()

    def from_keras(self, array: np.ndarray) -> None:
        """Sets the value from a copy of an array in Keras's layout.

        Raises:
            InvalidInput: if it has another shape or is not numeric.
        """
        self.check_keras(array)
        if self.layout is not None:
            array = array.transpose(np.argsort(self.layout.perm)).reshape(self.shape)
        self._store(array)

    def _store(self, array: np.ndarray) -> None:
        """Written into the memory there is: an epoch that is running trains on that."""
        if self._value is None:
            self._value = np.array(array, np.float32, order="C")
        else:
            self._value[...] = array

    def check_keras(self, array: np.ndarray) -> None:
        """Refuses an array that `from_keras` could not take."""
        if array.shape != self.keras_shape:
            raise InvalidInput(f"weight {self.name!r} was given shape {array.shape}, expected {self.keras_shape}")
        if array.dtype.kind not in "fiub":
            raise InvalidInput(f"weight {self.name!r} was given dtype {array.dtype}, expected float32")

    def __repr__(self) -> str:
        return f"<Parameter {self.name!r} {self.shape}>"


class _Renamed(Parameter):
    """Reads and writes another parameter; only the name is its own."""

    def __init__(self, original: Parameter, name: str) -> None:
        self.__dict__.update(original.__dict__)
        self._original = original
        self._own_name = name

    @property
    def name(self) -> str:
        return self._own_name

    @property
    def value(self) -> np.ndarray:
        return self._original.value

    @value.setter
    def value(self, array: np.ndarray) -> None:
        self._original.value = array

    @property
    def trainable(self) -> bool:
        return self._original.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._original.trainable = value

    def from_keras(self, array: np.ndarray) -> None:
        self._original.from_keras(array)
