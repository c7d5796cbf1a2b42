"""A strict double of CuPy: NumPy underneath, CuPy's manners on the outside.

`strict` stands where kernels take `xp`. What CuPy refuses it refuses: implicit conversion to NumPy, mixing with NumPy
arrays, functions, parameters and methods CuPy lacks (`cupy_api.json`), dtypes a device cannot hold, device values as
shapes or axes. Where CuPy silently does something else than NumPy, it does so too (indices out of bounds wrap around,
fresh memory holds rubbish), or refuses where the outcome is left open (assigning different values to one place).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

API = json.loads(Path(__file__).with_name("cupy_api.json").read_text())
DTYPES = frozenset("?bBhHiIlLqQefdFD")

_HOST_PARAMETERS = {
    *(
        "shape",
        "newshape",
        "axis",
        "axes",
        "axis1",
        "axis2",
        "source",
        "destination",
        "shift",
        "strides",
        "window_shape",
    ),
    *("reps", "repeats", "pad_width", "indices_or_sections", "start", "stop", "step", "N", "M", "n", "k"),
    *("ddof", "decimals", "minlength"),
}
_DEVICE_TRANSFER = frozenset({"array", "asarray", "asanyarray"})
_RUBBISH = 0xA5


class StrictArray:
    """An array that pretends to lie on a device."""

    __slots__ = ("_host",)
    __hash__ = None
    __array_priority__ = 100

    def __init__(self, host: np.ndarray) -> None:
        if host.dtype.char not in DTYPES:
            raise TypeError(f"a device cannot hold dtype {host.dtype}")
        self._host = host

    def get(self) -> np.ndarray:
        return self._host.copy()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("a device array is not converted to NumPy by itself; bring it over with `.get()`")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"numpy.{ufunc.__name__} called on a device array; use xp.{ufunc.__name__}")

    def __array_function__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} called on a device array; use xp.{function.__name__}")

    def __getattr__(self, name: str) -> Any:
        if name not in API["methods"]:
            raise AttributeError(f"CuPy's ndarray has no attribute {name!r}")
        if name == "flags":
            flags = self._host.flags
            return SimpleNamespace(
                c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata
            )
        attribute = getattr(self._host, name)
        parameters = API["methods"][name]
        if parameters is None:
            return _wrap(attribute)
        if name == "take":
            attribute = lambda *args, **kwargs: _take(self._host, *args, **kwargs)  # noqa: E731
        return _checked(f"ndarray.{name}", attribute, parameters.split())

    def __getitem__(self, key: Any) -> StrictArray:
        return _wrap(self._host[_index(key, self._host.shape)])

    def __setitem__(self, key: Any, value: Any) -> None:
        value = np.array(_operand("ndarray.__setitem__", value))
        index = _index(key, self._host.shape)
        self._host[index] = value
        if any(isinstance(part, np.ndarray) for part in index):
            stored = self._host[index]
            meant = np.broadcast_to(value, stored.shape).astype(stored.dtype)
            if not np.array_equal(stored, meant, equal_nan=stored.dtype.kind in "fc"):
                raise RuntimeError("different values were assigned to one place; on a device either may win")

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (_wrap(x) for x in self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __repr__(self) -> str:
        return f"strict({self._host!r})"


class StrictUfunc:
    """A universal function as CuPy has it: no lists as operands, and only some of the methods."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._call: Any = getattr(np, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _known(self.name, kwargs, {"out", "dtype", "casting", "where"})
        operands = [_operand(self.name, x) for x in args]
        return _rewrap(
            self._call(*operands, **{k: _unwrap(self.name, v) for k, v in kwargs.items()}), kwargs.get("out")
        )

    def at(self, a: StrictArray, indices: Any, b: Any) -> None:
        dtypes = API["scatter"].get(self.name, "").split()
        if a.dtype.name not in dtypes:
            raise TypeError(f"CuPy's {self.name}.at takes {dtypes or 'no dtype at all'}, not {a.dtype}")
        self._call.at(a._host, _index(indices, a.shape), np.asarray(_operand(self.name, b)).astype(a.dtype))

    def outer(self, a: Any, b: Any) -> StrictArray:
        return _wrap(self._call.outer(_operand(self.name, a), _operand(self.name, b)))

    def reduce(
        self, array: StrictArray, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        self._only_sums("reduce")
        host = _operand(self.name, array)
        return _wrap(self._call.reduce(host, axis, dtype, _unwrap(self.name, out), keepdims))

    def accumulate(self, array: StrictArray, axis: int = 0, dtype: Any = None, out: Any = None) -> StrictArray:
        self._only_sums("accumulate")
        return _wrap(self._call.accumulate(_operand(self.name, array), axis, dtype, _unwrap(self.name, out)))

    def _only_sums(self, method: str) -> None:
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"CuPy has no {self.name}.{method}")


class StrictNamespace:
    """What kernels see as `xp`."""

    ndarray = StrictArray

    def __init__(self) -> None:
        self.linalg = SimpleNamespace(
            **{
                name: _checked(f"linalg.{name}", getattr(np.linalg, name), ["*args", "**kwargs"])
                for name in API["linalg"]
            }
        )
        self.fft = SimpleNamespace(
            **{
                name: _checked(f"fft.{name}", getattr(np.fft, name), parameters.split())
                for name, parameters in API["fft"].items()
            }
        )
        tricks = np.lib.stride_tricks
        self.lib = SimpleNamespace(
            stride_tricks=SimpleNamespace(
                as_strided=_checked("as_strided", tricks.as_strided, ["x", "shape", "strides"]),
                sliding_window_view=_checked(
                    "sliding_window_view", tricks.sliding_window_view, ["x", "window_shape", "axis"]
                ),
            )
        )

    def __getattr__(self, name: str) -> Any:
        if name in API["plain"]:
            made = getattr(np, name)
        elif name in API["ufuncs"]:
            made = StrictUfunc(name)
        elif name in API["functions"]:
            made = _checked(name, _OWN.get(name) or getattr(np, name), API["functions"][name].split())
        else:
            raise AttributeError(f"CuPy has no function {name!r}")
        setattr(self, name, made)
        return made

    @staticmethod
    def asnumpy(a: Any) -> np.ndarray:
        return a.get() if isinstance(a, StrictArray) else np.asarray(a)


def _checked(name: str, function: Callable[..., Any], parameters: list[str]) -> Callable[..., Any]:
    """`function` on device arrays, with the parameters CuPy's function of that name has."""
    names = [p for p in parameters if not p.startswith("*")]
    open_ended = len(names) < len(parameters)
    short = name.rpartition(".")[2]

    def call(*args: Any, **kwargs: Any) -> Any:
        if not open_ended and len(args) > len(names):
            raise TypeError(f"CuPy's {name} takes at most {len(names)} positional arguments, {len(args)} given")
        if "**kwargs" not in parameters:
            _known(name, kwargs, set(names))
        for parameter, value in [*zip(names, args, strict=False), *kwargs.items()]:
            if parameter in _HOST_PARAMETERS and _holds_array(value):
                raise TypeError(f"{name}: {parameter} must be known on the host, not a device array")
        host = short in _DEVICE_TRANSFER
        given = [x if host and isinstance(x, np.ndarray) else _unwrap(name, x) for x in args]
        result = function(*given, **{k: _unwrap(name, v) for k, v in kwargs.items()})
        copied = host and args and isinstance(args[0], np.ndarray) and isinstance(result, np.ndarray)
        return _rewrap(result.copy() if copied else result, kwargs.get("out"))

    return call


def _known(name: str, kwargs: dict[str, Any], allowed: set[str]) -> None:
    for key in kwargs:
        if key not in allowed:
            raise TypeError(f"CuPy's {name} has no parameter {key!r}")


def _unwrap(name: str, x: Any) -> Any:
    if isinstance(x, StrictArray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"{name}: unsupported type {type(x)} beside device arrays; move it with xp.asarray")
    if type(x) in (list, tuple):
        return type(x)(_unwrap(name, item) for item in x)
    return x


def _operand(name: str, x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        raise TypeError(f"{name}: unsupported type {type(x)} as an operand; make it an array with xp.asarray")
    return _unwrap(name, x)


def _wrap(x: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        return StrictArray(np.asarray(x))
    if isinstance(x, (list, tuple)):
        return type(x)(map(_wrap, x)) if type(x) in (list, tuple) else tuple(map(_wrap, x))
    return x


def _rewrap(result: Any, out: Any) -> Any:
    return out if isinstance(out, StrictArray) else _wrap(result)


def _holds_array(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_holds_array, x))
    return isinstance(x, (StrictArray, np.ndarray))


def _index(key: Any, shape: tuple[int, ...]) -> Any:
    """`key` for the NumPy array underneath: integer arrays wrap around at the bounds, as they do on a device."""
    parts = list(key) if isinstance(key, tuple) else [key]
    parts = [np.asarray(p) if isinstance(p, list) else _unwrap("indexing", p) for p in parts]
    taken = sum(_consumed(p) for p in parts)
    axis = 0
    for i, part in enumerate(parts):
        if isinstance(part, np.ndarray) and part.dtype.kind in "iu" and axis < len(shape) and shape[axis]:
            parts[i] = part % shape[axis]
        axis += len(shape) - taken if part is Ellipsis else _consumed(part)
    return tuple(parts)


def _consumed(part: Any) -> int:
    """How many axes one part of an index stands for."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


def _take(a: np.ndarray, indices: Any, axis: int | None = None, out: Any = None) -> np.ndarray:
    return np.take(a, indices, axis, out, mode="wrap")


def _take_along_axis(a: np.ndarray, indices: np.ndarray, axis: int | None) -> np.ndarray:
    return np.take_along_axis(a, indices % (a.size if axis is None else a.shape[axis]), axis)


def _array(*args: Any, blocking: bool = False, **kwargs: Any) -> np.ndarray:
    return np.array(*args, **kwargs)


def _asarray(*args: Any, blocking: bool = False, **kwargs: Any) -> np.ndarray:
    return np.asarray(*args, **kwargs)


def _empty(*args: Any, **kwargs: Any) -> np.ndarray:
    host = np.empty(*args, **kwargs)
    if host.dtype.char in DTYPES:
        host.ravel(order="K").view(np.uint8)[...] = _RUBBISH if host.dtype != bool else 1
    return host


def _empty_like(a: np.ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> np.ndarray:
    return _empty(a.shape if shape is None else shape, a.dtype if dtype is None else dtype)


_OWN: dict[str, Callable[..., Any]] = {
    "array": _array,
    "asarray": _asarray,
    "asanyarray": _asarray,
    "empty": _empty,
    "empty_like": _empty_like,
    "take": _take,
    "take_along_axis": _take_along_axis,
}

_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "matmul": "matmul",
}  # fmt: skip
_COMPARE = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _define_operators() -> None:
    def forward(name: str) -> Any:
        return lambda self, other: getattr(strict, name)(self, other)

    def reflected(name: str) -> Any:
        return lambda self, other: getattr(strict, name)(other, self)

    def in_place(name: str) -> Any:
        return lambda self, other: getattr(strict, name)(self, other, out=self)

    def unary(name: str) -> Any:
        return lambda self: getattr(strict, name)(self)

    for dunder, name in {**_BINARY, **_COMPARE}.items():
        setattr(StrictArray, f"__{dunder}__", forward(name))
    for dunder, name in _BINARY.items():
        setattr(StrictArray, f"__r{dunder}__", reflected(name))
        if dunder != "matmul":
            setattr(StrictArray, f"__i{dunder}__", in_place(name))
    for dunder, name in _UNARY.items():
        setattr(StrictArray, f"__{dunder}__", unary(name))


strict = StrictNamespace()
_define_operators()
