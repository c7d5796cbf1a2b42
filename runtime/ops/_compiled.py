"""Work on a node's attributes that is done once, not in every run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any

KEPT = 64
"""How many results a function remembers."""


def once(make: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: `make(*arguments)` runs once for equal numbers and names and otherwise the same argument objects.


    A node's attributes are bound once, arrive as the same objects in every run, and never change. They are recognised
    by identity: to hash or compare a hundred thousand nodes would take as long as to read them. They are kept alive
    beside the result, so that no other object can take their identity.
    """
    results: OrderedDict[tuple[Any, ...], tuple[tuple[Any, ...], Any]] = OrderedDict()
    lock = Lock()

    @wraps(make)
    def remembered(*arguments: Any) -> Any:
        key = tuple(a if isinstance(a, (int, str)) else (id(a),) for a in arguments)
        with lock:
            if key in results:
                results.move_to_end(key)
                return results[key][1]
        made = make(*arguments)
        with lock:
            results[key] = arguments, made
            while len(results) > KEPT:
                results.popitem(last=False)
        return made

    return remembered
