"""onnx_ir without sympy, until somebody asks for it.

onnx_ir imports sympy for one thing, arithmetic on dimensions that are names, which the runtime never does: names are
compared, and gone when a plan is made. Importing sympy takes several times as long as reading a small model, and 30 MB.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["import_onnx_ir"]

DEFERRED = ("sympy", "onnx_ir._symbolic_shapes")
"""What is imported when it is first used; the second holds functions of sympy in a table."""


class _Later(ModuleType):
    """Stands in for a module while onnx_ir is imported; afterwards only onnx_ir knows of it."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # asked for by whoever imports a part of it, who must have the package itself
            raise AttributeError(name)
        self.withdraw()
        return getattr(import_module(self.__name__), name)

    def withdraw(self) -> None:
        """From now on whoever imports the module gets it."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


def import_onnx_ir() -> None:
    """Imports onnx_ir if nobody has; modules of `DEFERRED` that nobody has imported either wait for their first use.

    While other threads run, which could import the same modules meanwhile, nothing is deferred.
    """
    if "onnx_ir" not in sys.modules and threading.active_count() == 1:
        absent = [_Later(name) for name in DEFERRED if name not in sys.modules]
        sys.modules.update({later.__name__: later for later in absent})
        try:
            with suppress(ImportError):  # of a part of such a module: then there is nothing to defer
                import_module("onnx_ir")
        finally:
            for later in absent:
                later.withdraw()
    import_module("onnx_ir")
