"""onnxruntime's exceptions by name, as members of our hierarchy.

What a session raises is both: `except InvalidArgument` and `except errors.InvalidInput` catch the same error.
"""

from __future__ import annotations

from typing import Any

from ..errors import StriateError


class Fail(StriateError):
    """A model could not be loaded or run."""


class InvalidArgument(StriateError):
    """A name, rank, dimension or data type given to `run` does not fit the model."""


class NoSuchFile(StriateError):
    """There is no file at the model's path."""


class NoModel(StriateError):
    """No model was given."""


class EngineError(StriateError):
    """An engine failed outside of any node."""


class RuntimeException(StriateError):
    """Something failed that is neither the model's nor the input's fault."""


class InvalidProtobuf(StriateError):
    """The bytes are not an ONNX model."""


class ModelLoaded(StriateError):
    """The session already holds a model."""


class NotImplemented(StriateError):
    """The specification has it, no engine here does."""


class InvalidGraph(StriateError):
    """The graph contradicts the ONNX specification."""


class EPFail(StriateError):
    """An execution provider failed."""


class ModelLoadCanceled(StriateError):
    """Loading was called off."""


class ModelRequiresCompilation(StriateError):
    """The model must be compiled first."""


class NotFound(StriateError):
    """Something asked for by name is not there."""


class DeviceReset(StriateError):
    """The device was lost."""


_STATUS: dict[type[Exception], tuple[int, str]] = {
    Fail: (1, "FAIL"),
    InvalidArgument: (2, "INVALID_ARGUMENT"),
    NoSuchFile: (3, "NO_SUCHFILE"),
    InvalidProtobuf: (7, "INVALID_PROTOBUF"),
    NotImplemented: (9, "NOT_IMPLEMENTED"),
    InvalidGraph: (10, "INVALID_GRAPH"),
}


def status(kind: type[StriateError], text: str, ours: type[Exception], hint: str = "") -> StriateError:
    """An error in onnxruntime's class and words that is an instance of `ours` too; `hint` becomes its note."""
    code, name = _STATUS[kind]
    return dressed(kind, f"[ONNXRuntimeError] : {code} : {name} : {text}", ours, hint)


def dressed(kind: type[Exception], text: str, ours: type[Exception], hint: str = "") -> Any:
    """An error called like `kind` that is an instance of both classes."""
    made = _CLASSES.get((kind, ours)) or _CLASSES.setdefault((kind, ours), _both(kind, ours))
    error = made(text)
    if hint:
        error.add_note(hint)
    return error


_CLASSES: dict[tuple[type[Exception], type[Exception]], type[Exception]] = {}


def _both(kind: type[Exception], ours: type[Exception]) -> type[Exception]:
    if issubclass(ours, kind):
        return ours
    return type(kind.__name__, (kind, ours), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def __getattr__(name: str) -> Any:
    """The classes onnxruntime keeps in this module too: `SessionOptions`, `NodeArg`, ..."""
    if name.startswith("_"):
        raise AttributeError(name)
    from ... import runtime

    return getattr(runtime, name)
