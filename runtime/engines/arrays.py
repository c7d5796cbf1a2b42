"""The complete engine: kernels of `ops/` on NumPy or CuPy arrays. The one file that imports cupy."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cache, partial
from typing import Any

import numpy as np

from ..errors import InvalidInput, MissingDependency
from ..ops.registry import Operator

Array = Any
"""A NumPy array, or a CuPy array on a CUDA device."""


class ArraysEngine:
    """Binds operators to kernels on the arrays of the namespace `xp`, placed on `device`."""

    def __init__(self, xp: Any, device: str) -> None:
        self.xp = xp
        self.device = device
        self.on_host = xp is np

    def asarray(self, array: Array) -> Array:
        """`array` on this engine's device, or a sequence of arrays; text and maps stay on the host."""
        if isinstance(array, list):
            return [self.asarray(item) for item in array]
        if array is None or isinstance(array, dict):
            return array
        return np.asarray(array) if self.on_host or _is_text(array) else self.xp.asarray(array)

    def empty(self, nbytes: int) -> Array:
        """An uninitialised buffer of bytes."""
        return self.xp.empty(nbytes, self.xp.uint8)

    def copy(self, array: Array) -> Array:
        """A contiguous copy that shares nothing with `array`, or with the arrays of a sequence."""
        if isinstance(array, list):
            return [self.copy(item) for item in array]
        if array is None or isinstance(array, dict):
            return copy(array)
        return np.array(array) if _is_text(array) else self.xp.array(array, order="C")

    def overwrite(self, target: Array, source: Array) -> None:
        """Writes `source` into the memory of `target`."""
        self.xp.copyto(target, source)

    def bind(self, operator: Operator, attributes: dict[str, Any], outputs: int) -> Callable[..., Any]:
        """A function of the node's inputs (and `out=`, where the operator takes one).

        On a device a node that reads text or a map is run by NumPy, and its other results are brought to the device.
        """
        wanted = {"n_outputs": outputs} if operator.takes_n_outputs else {}
        call = partial(operator.kernel, self.xp, **attributes, **wanted)
        if self.on_host or any(map(callable, attributes.values())):  # a subgraph brings its own engine
            return call
        on_host = partial(operator.kernel, np, **attributes, **wanted)
        on_device = _host_inputs(call, operator.host) if operator.host else call

        def bound(*inputs: Array, **kwargs: Any) -> Any:
            if not any(map(_only_host_holds, inputs)):
                return on_device(*inputs, **kwargs)
            result = on_host(*map(to_host, inputs))
            return tuple(map(self.asarray, result)) if isinstance(result, tuple) else self.asarray(result)

        return bound


def _host_inputs(call: Callable[..., Any], positions: frozenset[int]) -> Callable[..., Any]:
    def bound(*inputs: Array, **kwargs: Any) -> Any:
        return call(*(to_host(x) if i in positions else x for i, x in enumerate(inputs)), **kwargs)

    return bound


def _is_text(array: Array) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "OSUT"


def _only_host_holds(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_text, value))
    return isinstance(value, dict) or _is_text(value)


def to_host(array: Array) -> Any:
    """Any engine's array, or sequence of arrays, on NumPy: the only way back from a device."""
    if isinstance(array, list):
        return [to_host(item) for item in array]
    if array is None or isinstance(array, dict):
        return array
    return array.get() if hasattr(array, "get") else np.asarray(array)


def cuda_available() -> bool:
    """Whether CuPy is installed and sees a device."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # a broken driver raises many things, and each means "no"
        return False


@cache
def engine(device: str) -> ArraysEngine:
    """The engine of a device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        InvalidInput: for any other name, or a device that is not there.
        MissingDependency: if CuPy is needed and not installed.
    """
    if device == "cpu":
        return ArraysEngine(np, device)
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise InvalidInput(f"device {device!r} is unknown; expected 'cpu', 'cuda' or 'cuda:N'")
    try:
        import cupy
    except ImportError:
        raise MissingDependency("device 'cuda' needs CuPy; install it with pip install 'striate[cuda12]'") from None
    if not cuda_available():
        raise InvalidInput(f"device {device!r} was asked for, but no CUDA device is visible; use device='cpu'")
    count = cupy.cuda.runtime.getDeviceCount()
    if int(number or 0) >= count:
        raise InvalidInput(f"device {device!r} was asked for, but there are {count} CUDA devices")
    return ArraysEngine(cupy, device)
