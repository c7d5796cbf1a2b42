"""Architectures by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..runtime.errors import InvalidInput
from ..trainer import Model

__all__ = ["describe", "get", "names", "register"]

Maker = Callable[..., Model]
M = TypeVar("M", bound=Maker)

_TABLE: dict[str, Maker] = {}


def register(name: str) -> Callable[[M], M]:
    """Decorator: `get(name)` calls the function from now on."""

    def add(maker: M) -> M:
        if name in _TABLE:
            raise ValueError(f"model {name!r} is registered twice")
        _TABLE[name] = maker
        return maker

    return add


def names() -> list[str]:
    """The registered names, sorted."""
    return sorted(_TABLE)


def describe(name: str) -> str:
    """What an architecture's maker says of it: source, layers, parameters, arguments.

    Raises:
        InvalidInput: for an unknown name.
    """
    return _maker(name).__doc__ or ""


def get(name: str, **kwargs: Any) -> Model:
    """A new, untrained model.

    Args:
        kwargs: what the architecture takes, such as `num_classes` and `input_shape`.

    Raises:
        InvalidInput: for an unknown name or arguments that do not fit.
    """
    maker = _maker(name)
    try:
        return maker(**kwargs)
    except TypeError as error:
        raise InvalidInput(f"model {name!r} does not take these arguments: {error}") from None


def _maker(name: str) -> Maker:
    if name not in _TABLE:
        raise InvalidInput(f"model {name!r} is unknown; expected one of: {', '.join(names())}")
    return _TABLE[name]
