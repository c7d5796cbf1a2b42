"""Operators that only training graphs contain."""

from __future__ import annotations

import numpy as np

from striate.runtime.ops import GRAD_DOMAIN

from ..table import Case, case, real


def _sum_to(x, shape):
    extra = x.ndim - len(shape)
    stretched = tuple(i + extra for i, size in enumerate(shape) if size == 1 and x.shape[i + extra] != 1)
    return np.sum(x, axis=(*range(extra), *stretched)).reshape(shape)


CASES: list[Case] = [
    case("SumTo", real(2, 3, 4), [3, 1], domain=GRAD_DOMAIN, opset=1, expect=_sum_to, grad=(0,)),
    case("SumTo", real(3, 1), [1, 1], domain=GRAD_DOMAIN, opset=1, expect=_sum_to, grad=(0,), name="all axes"),
    case("SumTo", real(2, 3), [2, 3], domain=GRAD_DOMAIN, opset=1, expect=_sum_to, grad=(0,), name="same shape"),
    case("SumTo", real(2, 0, 3), [3], domain=GRAD_DOMAIN, opset=1, expect=_sum_to, name="empty"),
]
