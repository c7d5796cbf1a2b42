"""Input, Dense, Embedding, Activation, Rescaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ...runtime import dtypes
from ...runtime.errors import StriateError
from .. import activations, initializers, regularizers
from .arguments import positive
from .base import Call, Layer, LayerBuilder, Shape, Tensor

__all__ = ["Activation", "Dense", "Embedding", "Input", "InputLayer", "Rescaling"]


class InputLayer(Layer):
    """Where data enters a model.

    Args:
        shape: without the batch; None where a dimension is open.
        batch_size: None: open.
        dtype: of the data: float32, or integers for `Embedding` and `Rescaling`.
    """

    accepts_integers = True

    def __init__(
        self,
        shape: Sequence[int | None] | int | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        batch_shape = kwargs.pop("batch_shape", None)
        if shape is None:
            shape = kwargs.pop("input_shape", None)
        super().__init__(name=name, **kwargs)
        if batch_shape is not None:
            batch_size, *shape = batch_shape
        if shape is None:
            self.refuse("it has no shape; expected for example Input(shape=(32, 32, 1))")
        dims = tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
        self.shape = tuple(None if d is None else positive(self, "a dimension of shape", d) for d in dims)
        self.batch_size = None if batch_size is None else positive(self, "batch_size", batch_size)
        self.dtype = self._data_type(dtype)
        self.built = True
        self.calls.append(Call(self, (), (self.batch_size, *self.shape), self.dtype))

    def _data_type(self, dtype: Any) -> str:
        try:
            known = np.dtype("float32" if dtype is None else dtype)
            dtypes.onnx_dtype(known)
        except (TypeError, StriateError):
            self.refuse(f"dtype {dtype!r} is not known; expected for example 'float32', 'uint8' or 'int64'")
        if known.kind not in "fiub":
            self.refuse(f"dtype {dtype!r} is not numeric; expected for example 'float32', 'uint8' or 'int64'")
        return known.name

    def __call__(self, inputs: Any) -> Tensor:
        self.refuse("it cannot be called on a tensor; it is where a model begins")

    def get_config(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "batch_size": self.batch_size, "dtype": self.dtype, "name": self.name}


def Input(
    shape: Sequence[int | None] | int | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    **kwargs: Any,
) -> Tensor:
    """A symbolic tensor that a model begins with; see `InputLayer` for the arguments.

    Raises:
        InvalidInput: for a shape or dtype that cannot be.
    """
    return InputLayer(shape=shape, batch_size=batch_size, dtype=dtype, name=name, **kwargs).output


class Dense(Layer):
    """activation(x · kernel + bias) over the last dimension; kernel [in, units]."""

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive(self, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def check(self, input_shape: Shape) -> None:
        if len(input_shape) < 2 or input_shape[-1] is None:
            self.refuse(f"its input shape is {input_shape}, expected at least 2 dimensions of which the last is known")
        if self.built and self.kernel.shape[0] != input_shape[-1]:
            self.refuse(
                f"its input shape is {input_shape}, its kernel expects {self.kernel.shape[0]} in the last dimension"
            )

    def build(self, input_shape: Any) -> None:
        shape = (input_shape[-1], self.units)
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer, self.kernel_regularizer)
        self.bias = (
            self.add_weight("bias", (self.units,), self.bias_initializer, self.bias_regularizer)
            if self.use_bias
            else None
        )

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = inputs[0]
        if x.shape is not None and len(x.shape) == 2 and self.bias is not None:
            y = g.Gemm(x, self.kernel, self.bias)
        else:
            y = g.MatMul(x, self.kernel)
            y = y if self.bias is None else g.Add(y, self.bias)
        return activations.apply(self.activation, g, y)


class Embedding(Layer):
    """Row `x` of a table: integers of any shape become vectors of `output_dim` numbers."""

    accepts_integers = True
    input_dtype = "int64"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = positive(self, "input_dim", input_dim)
        self.output_dim = positive(self, "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.mask_zero = bool(mask_zero)
        if mask_zero:
            self.refuse("mask_zero=True is not supported; expected False")

    def build(self, input_shape: Any) -> None:
        shape = (self.input_dim, self.output_dim)
        self.embeddings = self.add_weight("embeddings", shape, self.embeddings_initializer, self.embeddings_regularizer)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = inputs[0]
        indices = x if x.dtype in (ir.DataType.INT32, ir.DataType.INT64) else g.Cast(x, to=ir.DataType.INT64.value)
        return g.Gather(self.embeddings, indices, axis=0)


class Activation(Layer):
    """An activation by name, or a function `f(g, x)` that adds its nodes."""

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return activations.apply(self.activation, g, inputs[0])


class Rescaling(Layer):
    """x · scale + offset, each a number or one number per channel of the last dimension; integers become float32."""

    accepts_integers = True

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = self._numbers("scale", scale)
        self.offset = self._numbers("offset", offset)

    def _numbers(self, name: str, value: Any) -> Any:
        try:
            return np.asarray(value, np.float32).tolist()
        except (TypeError, ValueError):
            self.refuse(f"{name} is {value!r}, expected a number or a list of numbers")

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = inputs[0]
        if x.dtype != ir.DataType.FLOAT:
            x = g.Cast(x, to=ir.DataType.FLOAT.value)
        y = g.Mul(x, np.asarray(self.scale, np.float32))
        return g.Add(y, np.asarray(self.offset, np.float32)) if np.any(self.offset) else y
