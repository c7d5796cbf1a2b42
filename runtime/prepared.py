"""Runs whose arguments need no check: names, dtypes and shapes are those of a run before, and the plan is one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Prepared", "Whole", "prepared", "signature"]

Prepared = Callable[[Mapping[str, Any]], list[Any]]
"""Inputs by name → outputs."""


class Whole(NamedTuple):
    """A plan that is one call.

    Attributes:
        call: any arrays to results, as a kernel is called; its function `direct` takes a tuple of C-contiguous, aligned
            arrays of exactly the right dtypes and shapes.
        inputs: the names of what it is given.
        outputs: name → place among the results.
    """

    call: Any
    inputs: Sequence[str]
    outputs: Mapping[str, int]

    def run(self, arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> list[Any]:
        """The named outputs for any arrays of the right shapes and dtypes."""
        results = self.call(np, *[arrays[name] for name in self.inputs])
        return [results[self.outputs[name]] for name in names]


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


def prepared(whole: Whole, names: Sequence[str]) -> Prepared:
    """The run of a plan that is one call, for some outputs."""
    call, inputs, outputs = whole.call.direct, whole.inputs, whole.outputs
    gather, pick = _tuple_of(inputs), _tuple_of([outputs[name] for name in names])

    def run(feed: Mapping[str, Any]) -> list[Any]:
        return list(pick(call(gather(feed))))

    return run


def _tuple_of(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that takes the items of these keys."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda items: tuple([items[key] for key in keys])
