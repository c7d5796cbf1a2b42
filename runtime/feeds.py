"""What a caller gives to a run, checked against the model in onnxruntime's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import dtypes
from .capi.onnxruntime_pybind11_state import Fail, InvalidArgument, dressed, status
from .errors import InvalidInput, UnsupportedOperator
from .model_face import NodeArg
from .ort_value import OrtValue

_CODES = {f"tensor({name})": code for code, name in dtypes.NAMES.items()}


def check(given: Mapping[str, Any], required: Sequence[NodeArg], accepted: Mapping[str, NodeArg]) -> dict[str, Any]:
    """The arrays to run on.

    Args:
        given: name → NumPy array, OrtValue, or list (converted to the input's dtype).
        required: the inputs that must be there.
        accepted: these and the initializers that may be replaced.

    Raises:
        InvalidInput: a name is missing or unknown, or a value does not fit its input.
    """
    if not isinstance(given, Mapping):
        raise InvalidInput(f"input_feed is a {type(given).__name__}; expected a dict of input name → array")
    missing = [argument.name for argument in required if argument.name not in given]
    if missing:
        raise InvalidInput(f"Required inputs ({missing}) are missing from input feed ({list(given)}).")
    return {name: _checked(name, value, accepted) for name, value in given.items()}


def scalar(argument: NodeArg) -> np.ndarray:
    """A number of an input's dtype."""
    return np.zeros((), dtypes.numpy_dtype(_CODES[argument.type]))


def check_outputs(names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The outputs to compute: all of them, or those named.

    Raises:
        InvalidInput: a name the model does not have.
    """
    if names is None:
        return list(known)
    if isinstance(names, (str, bytes)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"output_names must be a list of strings or None, not {names!r}")
    for name in names:
        if name not in known:
            raise status(InvalidArgument, f"Invalid output name:{name}", InvalidInput, f"the outputs are {list(known)}")
    return list(names) or list(known)


def _checked(name: str, value: Any, accepted: Mapping[str, NodeArg]) -> Any:
    argument = accepted.get(name)
    if argument is None:
        raise status(InvalidArgument, f"Invalid input name: {name}", InvalidInput, f"the inputs are {list(accepted)}")
    checked = _of_type(name, value, argument.type)
    if argument.type in _CODES:
        _check_shape(name, checked.shape, argument.shape)
    return checked


def _of_type(name: str, value: Any, kind: str) -> Any:
    """`value` as a value of the type `kind` names: a tensor, or what is made of tensors."""
    if kind in _CODES:
        return _tensor(name, value, kind)
    outer, _, inner = kind.removesuffix(")").partition("(")
    if isinstance(value, OrtValue):
        value = value._array
    if outer == "optional":
        return None if value is None else _of_type(name, value, inner)
    if outer == "seq" and isinstance(value, (list, tuple)):
        return [_of_type(f"{name}[{i}]", item, inner) for i, item in enumerate(value)]
    if outer == "map" and isinstance(value, Mapping):
        return _map(name, value, *inner.split(",", 1))
    wanted = {"seq": "a list", "map": "a dict"}.get(outer)
    if wanted is None:
        raise UnsupportedOperator(f"input {name!r} is of type {kind or 'unknown'}, which cannot be fed")
    raise InvalidInput(f"input {name!r} of type {kind} is a {type(value).__name__}; expected {wanted}")


def _map(name: str, value: Mapping[Any, Any], key_type: str, value_type: str) -> dict[Any, Any]:
    """Keys are text or integers, values scalars of the map's type."""
    of_key = str if key_type == "string" else int
    wrong = [key for key in value if not isinstance(key, str if of_key is str else (int, np.integer))]
    if wrong:
        raise InvalidInput(f"input {name!r} is a map of {key_type} keys; found the key {wrong[0]!r}")
    return {of_key(key): _of_type(f"{name}[{key!r}]", _scalar(name, item, value_type), value_type)
            for key, item in value.items()}  # fmt: skip


def _scalar(name: str, value: Any, kind: str) -> Any:
    """A value of a map as an array; Python's own numbers take the map's type."""
    plain = isinstance(value, (int, float, str, bytes))
    return _from_list(name, value, dtypes.numpy_dtype(_CODES[kind])) if plain and kind in _CODES else np.asarray(value)


def _tensor(name: str, value: Any, kind: str) -> Any:
    expected = dtypes.numpy_dtype(_CODES[kind])
    array = _array(name, value, expected)
    found = _type_name(array)
    if found != kind:
        text = f"Unexpected input data type. Actual: ({found}) , expected: ({kind})"
        hint = f"input {name!r} needs {expected}: pass array.astype({str(expected)!r})"
        raise status(InvalidArgument, text, InvalidInput, hint)
    return array


def _check_shape(name: str, found: tuple[int, ...], expected: Sequence[int | str | None]) -> None:
    if not expected:
        return
    advice = "Please fix either the inputs/outputs or the model."
    if len(found) != len(expected):
        text = f"Invalid rank for input: {name} Got: {len(found)} Expected: {len(expected)} {advice}"
        raise status(InvalidArgument, text, InvalidInput, f"found shape {list(found)}, expected {list(expected)}")
    wrong = [(i, d, e) for i, (d, e) in enumerate(zip(found, expected, strict=True)) if isinstance(e, int) and d != e]
    if wrong:
        lines = "\n".join(f" index: {i} Got: {d} Expected: {e}" for i, d, e in wrong)
        text = f"Got invalid dimensions for input: {name} for the following indices\n{lines}\n {advice}"
        raise status(InvalidArgument, text, InvalidInput, f"found shape {list(found)}, expected {list(expected)}")


def _array(name: str, value: Any, expected: np.dtype) -> Any:
    """`value` as an array: text as Python strings, bytes in the machine's order."""
    if isinstance(value, OrtValue):
        return value._array
    if hasattr(value, "__cuda_array_interface__"):
        return value
    if value is None:
        raise status(
            Fail, f"Missing Input: {name}", InvalidInput, "None was given; leave out inputs that have a default"
        )
    if isinstance(value, list):
        return _from_list(name, value, expected)
    if not isinstance(value, np.ndarray):
        raise dressed(RuntimeError, _not_an_array(name, value), InvalidInput, f"pass a NumPy array for input {name!r}")
    if value.dtype.kind in "OSUT":
        return _text(value)
    return np.asarray(value, value.dtype.newbyteorder("="))


def _not_an_array(name: str, value: Any) -> str:
    if hasattr(value, "__iter__"):
        return f"Input must be a list of dictionaries or a single numpy array for input '{name}'."
    return f"Unable to handle object of type {type(value)}"


def _from_list(name: str, value: Any, expected: np.dtype) -> np.ndarray:
    try:
        return _text(np.asarray(value, object)) if expected.kind == "O" else np.asarray(value, expected)
    except (TypeError, ValueError, OverflowError) as error:
        hint = f"input {name!r} needs {expected}: {error}"
        raise dressed(RuntimeError, "Could not create tensor from given input list", InvalidInput, hint) from None


def _text(value: np.ndarray) -> np.ndarray:
    array = np.empty(value.shape, object)
    for index, item in np.ndenumerate(value):
        array[index] = item.decode("utf-8", "surrogateescape") if isinstance(item, bytes) else str(item)
    return array


def _type_name(array: Any) -> str:
    code = dtypes.STRING if array.dtype.kind in "OSUT" else dtypes.ONNX.get(np.dtype(array.dtype))
    return f"dtype({array.dtype})" if code is None else f"tensor({dtypes.onnx_name(code)})"
