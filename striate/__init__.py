"""Striate trains convolutional networks, exports them to ONNX, runs any ONNX file, and proves the outputs.

`striate.runtime`, `striate.trainer`, `striate.exporter` and `striate.models` are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["__version__", "exporter", "models", "runtime", "trainer"]

_SUBMODULES = frozenset(("exporter", "models", "runtime", "trainer"))


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("striate")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
