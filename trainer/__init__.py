"""Training: layers and models that build ONNX graphs, autodiff, optimizers, the loop, data, checkpoints."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        activations,
        callbacks,
        data,
        initializers,
        layers,
        losses,
        metrics,
        optimizers,
        regularizers,
        schedules,
    )
    from .layers import Input
    from .model import Model
    from .seeding import get_seed, set_seed
    from .sequential import Sequential

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "activations",
    "callbacks",
    "data",
    "get_seed",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "regularizers",
    "schedules",
    "set_seed",
]

_HOMES = {"Input": "layers", "Model": "model", "Sequential": "sequential", "get_seed": "seeding", "set_seed": "seeding"}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name)
    found = import_module(f".{name}", __name__) if home is None else getattr(import_module(f".{home}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
