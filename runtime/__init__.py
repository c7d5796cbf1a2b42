"""Runs ONNX models. `import striate.runtime as ort` stands in for `import onnxruntime as ort`.

Names are loaded when they are first used, so importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import backend, capi
    from .loading import set_seed
    from .model_face import ModelMetadata, NodeArg
    from .ort_value import IOBinding, OrtDevice, OrtValue
    from .providers import get_all_providers, get_available_providers, get_device
    from .session import InferenceSession, set_default_logger_severity, set_default_logger_verbosity
    from .session_options import ExecutionMode, ExecutionOrder, GraphOptimizationLevel, RunOptions, SessionOptions

    __version__: str

__all__ = [
    "ExecutionMode",
    "ExecutionOrder",
    "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "OrtDevice",
    "OrtValue",
    "RunOptions",
    "SessionOptions",
    "__version__",
    "backend",
    "capi",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_version_string",
    "set_default_logger_severity",
    "set_default_logger_verbosity",
    "set_seed",
]

_PLACES = {
    "loading": ("set_seed",),
    "model_face": ("ModelMetadata", "NodeArg"),
    "ort_value": ("IOBinding", "OrtDevice", "OrtValue"),
    "providers": ("get_all_providers", "get_available_providers", "get_device"),
    "session": ("InferenceSession", "set_default_logger_severity", "set_default_logger_verbosity"),
    "session_options": ("ExecutionMode", "ExecutionOrder", "GraphOptimizationLevel", "RunOptions", "SessionOptions"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def get_version_string() -> str:
    """The version of Striate."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("striate")
    except PackageNotFoundError:
        return "0+unknown"


def get_build_info() -> str:
    """One line about this build, for bug reports."""
    import platform

    return f"Striate {get_version_string()}, Python {platform.python_version()}, {platform.machine()}"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = get_version_string()
    elif name in _MODULES:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    elif name in ("backend", "capi"):
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
