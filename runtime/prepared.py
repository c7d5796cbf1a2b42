"""Runs whose arguments need no check: names, dtypes and shapes are those of a run before, and the plan is one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["Prepared", "prepared", "signature"]

Prepared = Callable[[Mapping[str, Any]], list[Any]]
"""Inputs by name → outputs."""

BEHAVED = 0x0101
"""NumPy's flags C_CONTIGUOUS and ALIGNED."""


def signature(names: Sequence[str] | None, feed: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What two runs have in common if one needs no more checks than the other; None where a run always needs them."""
    if type(feed) is not dict or not (names is None or type(names) is list):
        return None
    key: list[Any] = [None if names is None else tuple(names)]
    for name, x in feed.items():
        if type(x) is not np.ndarray or x.flags.num & BEHAVED != BEHAVED:
            return None
        key += (name, x.dtype, x.shape)
    return tuple(key)


def prepared(plan: Plan, names: Sequence[str]) -> Prepared | None:
    """The run of a plan, for some outputs, as one call; None if the plan is more than that."""
    if plan.whole is None:
        return None
    call, inputs, outputs = plan.whole
    gather, pick = _tuple_of(inputs), _tuple_of([outputs[name] for name in names])

    def run(feed: Mapping[str, Any]) -> list[Any]:
        return list(pick(call(gather(feed))))

    return run


def _tuple_of(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that takes the items of these keys."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda items: tuple([items[key] for key in keys])
