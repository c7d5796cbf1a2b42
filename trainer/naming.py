"""Objects by name and back: what `get` functions accept, and what configurations hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..runtime.errors import InvalidInput

__all__ = ["find", "resolve", "snake_case"]

_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """The name Keras gives to objects of a class: `MaxPooling2D` → `max_pooling2d`, `ReLU` → `re_lu`."""
    return _WORD_START.sub("_", name).lower()


def find(name: str, table: Mapping[str, Any], kind: str) -> Any:
    """The entry of `table` under a name, or under the class name it stands for.

    Raises:
        InvalidInput: if there is none; the message lists what there is.
    """
    key = name if name in table else snake_case(name)
    if key not in table:
        raise InvalidInput(f"{kind} {name!r} is unknown; expected one of: {', '.join(table)}")
    return table[key]


def resolve(identifier: Any, table: Mapping[str, Callable[..., Any]], kind: str) -> Any:
    """An object from its name, or from a configuration `{"class_name": …, "config": {…}}`; other things pass through.

    Raises:
        InvalidInput: for an unknown name or arguments that do not fit.
    """
    if isinstance(identifier, str):
        return find(identifier, table, kind)()
    if not isinstance(identifier, Mapping):
        return identifier
    name, config = identifier.get("class_name"), identifier.get("config", {})
    if not isinstance(name, str) or not isinstance(config, Mapping):
        raise InvalidInput(f"{kind} {dict(identifier)!r} does not fit; expected {{'class_name': …, 'config': {{…}}}}")
    make = find(name, table, kind)
    try:
        return make(**config)
    except TypeError as error:
        raise InvalidInput(f"{kind} {name!r} does not take these arguments: {error}") from None
